//! Who may change the log: nobody.

use anyhow::{Context as _, Result};
use sqlx::PgConnection;

use crate::report::{Check, Report};

pub(crate) async fn check(postgres: &mut PgConnection, report: &mut Report) -> Result<()> {
    let mut check = Check::new(
        "10",
        "no runtime role may insert, update, delete or truncate in a log",
    );
    let rows: Vec<(String, String, String, bool)> = sqlx::query_as(
        "select c.relname::text, r.rolname::text, p.privilege, has_table_privilege(r.oid, c.oid, p.privilege)
         from pg_class c
         join pg_namespace n on n.oid = c.relnamespace and n.nspname = 'es'
         cross join pg_roles r
         cross join unnest(array['insert', 'update', 'delete', 'truncate']) p(privilege)
         where c.relkind in ('r', 'p') and (c.relname like 'events%' or c.relname = 'telemetry' or c.relname like 'telemetry\\_p%')
           and r.rolname in ('proofline_writer', 'proofline_projector', 'proofline_reader',
                             'proofline_sealer', 'proofline_compliance')",
    )
    .fetch_all(&mut *postgres)
    .await
    .context("read the privileges")?;
    for (table, role, privilege, may) in &rows {
        check.expect(!may, || format!("{role} may {privilege} in es.{table}"));
    }
    // The owner is refused by trigger, on every partition.
    let bare: Vec<String> = sqlx::query_scalar(
        "select c.relname::text from pg_class c
         join pg_namespace n on n.oid = c.relnamespace and n.nspname = 'es'
         where c.relkind in ('r', 'p') and (c.relname like 'events%' or c.relname = 'telemetry' or c.relname like 'telemetry\\_p%')
           and not exists (select from pg_trigger t join pg_proc f on f.oid = t.tgfoid
                           where t.tgrelid = c.oid and f.proname = 'deny' and t.tgenabled in ('O', 'A'))",
    )
    .fetch_all(postgres)
    .await
    .context("read the triggers")?;
    check.expect(bare.is_empty(), || format!("no trigger guards {bare:?}"));
    report.add(check);
    Ok(())
}
