create schema es authorization es_owner;
grant usage on schema es to proofline_writer, proofline_projector, proofline_reader;
-- No runtime role may create anything anywhere.
revoke create on schema public from public;
