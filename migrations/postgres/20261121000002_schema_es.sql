create schema es authorization es_owner;
grant usage on schema es to proofline_writer, proofline_projector, proofline_reader;
-- No runtime role may create anything anywhere, not even a temporary table that could shadow one of ours.
revoke create on schema public from public;
do $$
begin
  execute format('revoke temporary on database %I from public', current_database());
end
$$;
