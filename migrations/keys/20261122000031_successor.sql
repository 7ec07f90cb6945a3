-- Which of the provider's keys took over what another one wrapped: by this, everything that was wrapped anew is found when
-- it is copied, however often it moved on.
create table keys.successor (
  provider_key_id text not null,
  successor_id    text not null,
  constraint successor_pkey primary key (provider_key_id, successor_id)
);
grant select, insert on keys.successor to proofline_vault;
