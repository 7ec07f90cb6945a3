-- Whoever opens a log finds out where it stands, also one that may read no more of it than its identity.
grant execute on function es.recognise_cluster() to proofline_reader;
