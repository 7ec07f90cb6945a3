//! Who reads on behalf of an account sees that account's rows, whatever the query: for every table that has an account.

use event_store::{Role, connect};
use proofline::secrets::Secrets;
use proofline::{account, write_side};
use reqwest::Client;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection, PgPool};
use uuid::Uuid;

use tests::World;

use crate::part::{Part, until};
use crate::served::{Served, connections, order};

/// Those that read on behalf of one account.
const OF_ONE_ACCOUNT: [Role; 2] = [Role::Reader, Role::Compliance];

struct Table {
    name: String,
    column: String,
}

/// Every table that has a column for the account, as the database lists them.
async fn tables(owner: &mut PgConnection) -> Vec<Table> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "select format('%I.%I', n.nspname, c.relname), a.attname::text
         from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid
         where a.attname in ('account_id', 'tenant_id') and c.relkind in ('r', 'p') and not c.relispartition
         order by 1",
    )
    .fetch_all(owner)
    .await
    .unwrap();
    rows.into_iter()
        .map(|(name, column)| Table { name, column })
        .collect()
}

/// The accounts whose rows are seen by who says on whose behalf.
async fn seen(
    pool: &PgPool,
    table: &Table,
    behalf: Option<Uuid>,
) -> Result<Vec<Uuid>, sqlx::Error> {
    let mut tx = event_store::begin(pool).await?;
    if let Some(account) = behalf {
        sqlx::query("select set_config('proofline.account', $1, true)")
            .bind(account.to_string())
            .execute(&mut *tx)
            .await?;
    }
    let query = format!(
        "select distinct {} from {} order by 1",
        table.column, table.name
    );
    sqlx::query_scalar(&query).fetch_all(&mut *tx).await
}

fn is_denied(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.as_deref() == Some("42501") // insufficient_privilege
}

#[tokio::test]
async fn a_reader_on_behalf_of_one_account_sees_no_row_of_another_in_any_table() {
    let it = Served::start().await;
    let officer = it.key_with("compliance").await;
    let shop = it.shop().await;
    it.deliver(&shop, "orders/create", "w-1", &order(1))
        .await
        .is(200);
    let subject = it
        .request(reqwest::Method::POST, "/v1/subjects")
        .bearer_auth(&officer);
    let subject = subject.json(&json!({ "email": "anna.schmidt@example.com" }));
    crate::served::answered(subject).await.is(201);
    sqlx::query("select es.note_access($1, 'test', 'test', '{}', '{}')")
        .bind(it.account)
        .execute(&mut it.world.owner().await)
        .await
        .unwrap();
    it.catch_up().await;
    let other = Uuid::now_v7();

    let mut owner = it.world.owner().await;
    let tables = tables(&mut owner).await;
    let mut read = Vec::new();
    for role in OF_ONE_ACCOUNT {
        let pool = it.world.pool(role);
        for table in &tables {
            match seen(&pool, table, Some(it.account)).await {
                Err(error) => assert!(is_denied(&error), "{role:?} {}: {error}", table.name),
                Ok(own) => {
                    assert_eq!(
                        own,
                        [it.account],
                        "{role:?} sees its own rows of {}",
                        table.name
                    );
                    for behalf in [Some(other), None] {
                        let seen = seen(&pool, table, behalf).await.unwrap();
                        assert!(
                            seen.is_empty(),
                            "{role:?} on behalf of {behalf:?} in {}",
                            table.name
                        );
                    }
                    read.push((role, table.name.clone()));
                }
            }
        }
    }
    for table in [
        "rm_site_list_v1.site",
        "rm_subject_list_v1.subject",
        "rm_proof_feed_v1.proof",
    ] {
        assert!(
            read.iter()
                .any(|(role, name)| *role == Role::Reader && name == table),
            "{read:?}"
        );
    }
    for table in ["es.events", "es.access_log"] {
        assert!(
            read.iter()
                .any(|(role, name)| *role == Role::Compliance && name == table),
            "{read:?}"
        );
    }

    // Functions that pass the policies ask on whose behalf themselves.
    let passing = "select p.oid::regproc::text from pg_proc p
                   where p.prosecdef and p.prokind = 'f' and p.pronamespace <> 'pg_catalog'::regnamespace
                     and has_schema_privilege('proofline_reader', p.pronamespace, 'usage')
                     and has_function_privilege('proofline_reader', p.oid, 'execute')
                   order by 1";
    let passing: Vec<String> = sqlx::query_scalar(passing)
        .fetch_all(&mut owner)
        .await
        .unwrap();
    assert_eq!(
        passing,
        [
            "es.recognise_cluster",
            // Whoever has the key that a shop's pages show finds out whose they are by it.
            "rm_site_list_v1.site_by_embed_key",
            "rm_subject_list_v1.subject_known_as",
        ]
    );
    let known = "select array_agg(k.account_id) from rm_subject_list_v1.subject s,
                   lateral rm_subject_list_v1.subject_known_as(s.account_id, array[s.subject_id]) k";
    // The owner sees the rows, and the function what is set.
    for (behalf, seen) in [
        (Some(it.account), true),
        (Some(other), false),
        (None, false),
    ] {
        let mut tx = owner.begin().await.unwrap();
        if let Some(account) = behalf {
            let set = "select set_config('proofline.account', $1, true)";
            let set = sqlx::query(set).bind(account.to_string());
            set.execute(&mut *tx).await.unwrap();
        }
        let found: Option<Vec<Uuid>> = sqlx::query_scalar(known).fetch_one(&mut *tx).await.unwrap();
        assert_eq!(found.is_some(), seen, "{behalf:?}");
    }

    // And the check would find one: a table that forgets its policy shows everybody's.
    let careless =
        "create schema rm_careless_v1; create table rm_careless_v1.row (account_id uuid not null);
                    grant usage on schema rm_careless_v1 to proofline_reader;
                    grant select on rm_careless_v1.row to proofline_reader";
    owner.execute(careless).await.unwrap();
    sqlx::query("insert into rm_careless_v1.row values ($1)")
        .bind(it.account)
        .execute(&mut owner)
        .await
        .unwrap();
    let found = self::tables(&mut owner).await;
    let found = found
        .iter()
        .find(|table| table.name == "rm_careless_v1.\"row\"" || table.name == "rm_careless_v1.row");
    let seen = seen(&it.world.pool(Role::Reader), found.unwrap(), Some(other))
        .await
        .unwrap();
    assert_eq!(seen, [it.account]);
}

#[tokio::test]
async fn who_makes_backups_reads_every_row_and_writes_none() {
    let it = Served::start().await;
    let shop = it.shop().await;
    it.deliver(&shop, "orders/create", "w-1", &order(1))
        .await
        .is(200);
    it.catch_up().await;
    let mut read = 0;
    for url in [&it.world.database_url, &it.world.keys_url] {
        let maintenance = connect(url, Role::Maintenance, 1).unwrap();
        let mut owner = PgConnection::connect(url).await.unwrap();
        let tables: Vec<(String, bool)> = sqlx::query_as(
            "select format('%I.%I', n.nspname, c.relname),
                    has_table_privilege('proofline_maintenance', c.oid, 'insert, update, delete, truncate, references, trigger')
             from pg_class c join pg_namespace n on n.oid = c.relnamespace
             where c.relkind in ('r', 'p') and n.nspname not in ('pg_catalog', 'information_schema')
               and not starts_with(n.nspname, 'pg_')",
        )
        .fetch_all(&mut owner)
        .await
        .unwrap();
        for (table, writes) in tables {
            assert!(!writes, "{table}");
            let count = format!("select count(*) from {table}");
            let all: i64 = sqlx::query_scalar(&count)
                .fetch_one(&mut owner)
                .await
                .unwrap();
            let seen = sqlx::query_scalar::<_, i64>(&count).fetch_one(&maintenance);
            assert_eq!(
                seen.await
                    .unwrap_or_else(|error| panic!("{table}: {error}")),
                all,
                "{table}"
            );
            read += i64::from(all > 0);
        }
    }
    assert!(read > 15, "{read} tables have rows");
}

#[tokio::test]
async fn on_read_models_the_rule_holds_for_their_owner_too() {
    let it = Served::start().await;
    let tables: Vec<(String, bool)> = sqlx::query_as(
        "select format('%I.%I', n.nspname, c.relname), c.relrowsecurity and c.relforcerowsecurity
         from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where c.relkind = 'r' and starts_with(n.nspname, 'rm_')",
    )
    .fetch_all(&mut it.world.owner().await)
    .await
    .unwrap();
    assert!(tables.len() >= 5, "{tables:?}");
    for (table, forced) in tables {
        assert!(forced, "{table}");
    }
}

/// The roles that each process works as, as docs/operations.md lists them.
const PARTS: [(&str, &[&str]); 3] = [
    (
        "write-api",
        &["reader", "writer", "projector", "sealer", "vault"],
    ),
    (
        "read-api",
        &["reader", "projector", "compliance", "sealer", "vault"],
    ),
    (
        "projector",
        &["reader", "projector", "compliance", "sealer", "vault"],
    ),
];
const ROLES: [&str; 8] = [
    "proofline_writer",
    "proofline_projector",
    "proofline_reader",
    "proofline_sealer",
    "proofline_compliance",
    "proofline_vault",
    "proofline_maintenance",
    "es_owner",
];

fn as_login(url: &str, login: &str) -> String {
    let (_, at) = url.rsplit_once('@').unwrap();
    format!("postgres://{login}:secret@{at}")
}

/// Each process with a login of its own, which is no superuser and owns nothing.
#[tokio::test]
async fn no_process_needs_to_be_able_to_do_more_than_its_part() {
    let world = World::new().await;
    let there = connections(&world);
    migrations::clickhouse(&there.clickhouse().unwrap(), &world.clickhouse_database)
        .await
        .unwrap();
    let secrets = Secrets::open(&there).await.unwrap();
    let commands = write_side::open(&there, &secrets).await.unwrap();
    let opened = account::open(&commands, &secrets.api_keys, "Test")
        .await
        .unwrap();
    let mut owner = world.owner().await;
    let mut running = Vec::new();
    for (name, roles) in PARTS {
        let login = format!("t_{}", Uuid::now_v7().simple());
        let roles: Vec<String> = roles
            .iter()
            .map(|role| format!("proofline_{role}"))
            .collect();
        let make = format!(
            "create role {login} login password 'secret'; grant {} to {login}",
            roles.join(", ")
        );
        owner.execute(&*make).await.unwrap();
        let (events, keys) = (
            as_login(&world.database_url, &login),
            as_login(&world.keys_url, &login),
        );
        let mut session = PgConnection::connect(&events).await.unwrap();
        for role in ROLES {
            let became = session.execute(&*format!("set role {role}")).await;
            assert_eq!(
                became.is_ok(),
                roles.iter().any(|own| own == role),
                "{name} as {role}"
            );
        }
        let environment = [("DATABASE_URL", &*events), ("KEYS_DATABASE_URL", &*keys)];
        running.push((Part::start(name, &world, &environment).await, login));
    }
    let (write_api, read_api) = (&running[0].0.url, &running[1].0.url);
    let client = Client::new();
    let registered = client
        .post(format!("{write_api}/v1/sites"))
        .bearer_auth(&opened.key)
        .json(&json!({ "name": "Trail", "domain": "trail.example.com" }));
    let registered = registered.send().await.unwrap();
    assert_eq!(registered.status(), 201);
    let registered: Value = registered.json().await.unwrap();
    let site = format!("{read_api}/v1/sites/{}", registered["id"].as_str().unwrap());
    let shown = async || {
        client
            .get(&site)
            .bearer_auth(&opened.key)
            .send()
            .await
            .unwrap()
            .status()
    };
    until(
        async || shown().await == 200,
        || "the site is not shown".to_owned(),
    )
    .await;
    running[0]
        .0
        .shows("sealed", |metrics| {
            metrics
                .value("proofline_sealed_position")
                .is_some_and(|position| position >= 1.0)
        })
        .await;
    for (part, login) in running {
        part.stop().await;
        owner.execute(&*format!("drop role {login}")).await.unwrap();
    }
}
