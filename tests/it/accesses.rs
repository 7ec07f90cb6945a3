//! Who opened personal data is noted, shown to the account alone, and there to stay.

use event_store::{Access, AccessFilter, AccessLog, AuditTx, NotedAccess, Role, Upkeep};
use serde_json::json;
use sqlx::Executor as _;
use tests::World;
use uuid::Uuid;

use crate::support::{OTHER_TENANT, TENANT, code};

fn access(subject: u128) -> Access {
    Access {
        tenant: TENANT,
        actor: "api_key:7".to_owned(),
        purpose: "subject_export",
        subjects: vec![Uuid::from_u128(subject)],
        what: json!({ "events": 12 }),
    }
}

async fn read(world: &World, account: Uuid, before: Option<i64>, limit: i64) -> Vec<NotedAccess> {
    let pool = world.pool(Role::Compliance);
    let mut tx = AuditTx::begin(&pool, account).await.unwrap();
    let everything = AccessFilter::default();
    tx.accesses(&everything, before, limit).await.unwrap()
}

#[tokio::test]
async fn accesses_are_read_newest_first_by_the_account_alone() {
    let world = World::new().await;
    for role in [Role::Writer, Role::Compliance] {
        let log = AccessLog::new(world.pool(role));
        for subject in 1..=2 {
            log.note(&access(subject)).await.unwrap();
        }
    }
    let first = read(&world, TENANT, None, 3).await;
    let rest = read(&world, TENANT, Some(first[2].id), 3).await;
    let all: Vec<_> = first.iter().chain(&rest).collect();
    let subjects: Vec<_> = all
        .iter()
        .map(|noted| noted.subjects[0].as_u128())
        .collect();
    assert_eq!(subjects, [2, 1, 2, 1]);
    for noted in all {
        assert_eq!(noted.actor, "api_key:7");
        assert_eq!(noted.purpose, "subject_export");
        assert_eq!(noted.what, json!({ "events": 12 }));
    }
    assert_eq!(read(&world, OTHER_TENANT, None, 3).await, []);
}

#[tokio::test]
async fn an_access_without_a_purpose_is_refused() {
    let world = World::new().await;
    let log = AccessLog::new(world.pool(Role::Writer));
    for purpose in ["", "Because I may", "a'); drop table es.access_log; --"] {
        let noted = log
            .note(&Access {
                purpose,
                ..access(1)
            })
            .await;
        assert!(noted.is_err(), "{purpose}");
    }
    assert_eq!(read(&world, TENANT, None, 3).await, []);
}

#[tokio::test]
async fn nobody_alters_or_forges_the_access_log() {
    let world = World::new().await;
    let log = AccessLog::new(world.pool(Role::Writer));
    log.note(&access(1)).await.unwrap();
    let statements = [
        "update es.access_log set actor = 'x'",
        "delete from es.access_log",
        "truncate es.access_log",
    ];
    let insert = "insert into es.access_log (tenant_id, actor, purpose, subject_ids, what)
                  values (gen_random_uuid(), 'x', 'x', '{}', '{}')";
    for role in [
        Role::Writer,
        Role::Projector,
        Role::Reader,
        Role::Compliance,
    ] {
        for statement in statements.into_iter().chain([insert]) {
            let refused = world.pool(role).execute(statement).await.unwrap_err();
            assert_eq!(code(&refused), "42501", "{role:?}: {statement}");
        }
    }
    let mut owner = world.owner().await;
    for statement in statements {
        // Even the superuser, as long as he does not switch the triggers off.
        let refused = (&mut owner).execute(statement).await.unwrap_err();
        assert_eq!(code(&refused), "ES900", "{statement}");
    }
    assert_eq!(read(&world, TENANT, None, 3).await.len(), 1);
}

#[tokio::test]
async fn the_compliance_role_reads_what_it_needs_and_nothing_else() {
    let world = World::new().await;
    let tables: Vec<(String, bool)> = sqlx::query_as(
        "select c.relname::text, has_table_privilege('proofline_compliance', c.oid, 'select')
         from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where c.relkind in ('r', 'p', 'v') and n.nspname ~ '^(es|rm_.*)$'",
    )
    .fetch_all(&mut world.owner().await)
    .await
    .unwrap();
    let mut readable: Vec<_> = tables
        .iter()
        .filter_map(|(table, may)| may.then_some(table.as_str()))
        .collect();
    readable.sort_unstable();
    assert_eq!(readable, ["access_log", "events", "log"]);
}

#[tokio::test]
async fn accesses_are_forgotten_when_their_time_is_over_and_never_within_a_year() {
    let world = World::new().await;
    let log = AccessLog::new(world.pool(Role::Writer));
    log.note(&access(1)).await.unwrap();
    for (subject, days) in [(2, 366), (3, 2_556), (4, 2_558)] {
        sqlx::query(
            "insert into es.access_log (tenant_id, accessed_at, actor, purpose, subject_ids, what)
             values ($1, clock_timestamp() - make_interval(days => $2), 'x', 'x', array[$3], '{}')",
        )
        .bind(TENANT)
        .bind(days)
        .bind(Uuid::from_u128(subject))
        .execute(&mut world.owner().await)
        .await
        .unwrap();
    }
    let kept = async || {
        let read = read(&world, TENANT, None, 9).await;
        let mut kept: Vec<_> = read
            .iter()
            .map(|noted| noted.subjects[0].as_u128())
            .collect();
        kept.sort_unstable();
        kept
    };
    let upkeep = Upkeep::new(world.pool(Role::Writer), world.vault());
    assert_eq!(upkeep.forget_accesses().await.unwrap(), 1);
    assert_eq!(kept().await, [1, 2, 3]);
    assert!(
        upkeep
            .clone()
            .keeping_accesses(364)
            .forget_accesses()
            .await
            .is_err()
    );
    assert_eq!(kept().await, [1, 2, 3]);
    assert_eq!(
        upkeep
            .keeping_accesses(365)
            .forget_accesses()
            .await
            .unwrap(),
        2
    );
    assert_eq!(kept().await, [1]);
    // Whoever goes around the function is refused by the table.
    let refused = (&mut world.owner().await)
        .execute("delete from es.access_log")
        .await;
    assert_eq!(code(&refused.unwrap_err()), "ES900");
}
