-- A projection that earlier builds did not have.
insert into es.projection_versions (name, version, phase) values ('subject_list', 1, 'live');
insert into es.active_view (name, version) values ('subject_list', 1) on conflict do nothing;
