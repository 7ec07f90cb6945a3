-- Whose record a person is linked to is found by the tag of the link. A tag is a keyed hash.
grant select on es.tags to proofline_writer;
