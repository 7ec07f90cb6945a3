//! Every version of every Postgres read model, row by row, against its fold.

use anyhow::{Context as _, Result};
use sqlx::PgConnection;

use crate::fold::{Fold, Model, Row};
use crate::log::DomainLog;
use crate::progress::Progress;
use crate::report::{Check, Report};

pub(crate) async fn check(
    postgres: &mut PgConnection,
    progress: &Progress,
    log: &DomainLog,
    report: &mut Report,
) -> Result<()> {
    let mut models = Check::new("13 16", "Postgres read models are the fold of their events");
    for fold in &log.folds.all {
        compare(postgres, fold, &mut models).await?;
    }
    models.expect(log.folds.all.len() >= 4 || progress.all.is_empty(), || {
        "a read model was never projected".to_owned()
    });
    report.add(models);
    Ok(())
}

async fn compare(postgres: &mut PgConnection, fold: &Fold, check: &mut Check) -> Result<()> {
    let (model, version) = (fold.model, fold.version);
    let mut found = 0;
    for row in read(postgres, model, version).await? {
        found += 1;
        let key = row[0].clone().unwrap_or_default();
        let name = || format!("{} version {version}, {key}", model.name());
        match fold.rows.get(&key) {
            None => check.expect(false, || format!("{} should not be there: {row:?}", name())),
            Some(expected) => check.expect(*expected == row, || {
                let differing = differing(model, expected, &row);
                format!("{} differs: {differing}", name())
            }),
        }
    }
    // Rows that are missing, by their number: those that stand there were found by name.
    let expected = fold.rows.len();
    check.expect(found == expected, || {
        format!(
            "{} version {version} has {found} rows, the fold {expected}",
            model.name()
        )
    });
    Ok(())
}

async fn read(postgres: &mut PgConnection, model: Model, version: i32) -> Result<Vec<Row>> {
    let columns: Vec<String> = model
        .columns()
        .iter()
        .map(|column| {
            if column.ends_with("_at") {
                format!("(extract(epoch from {column}) * 1000000)::bigint::text")
            } else {
                format!("{column}::text")
            }
        })
        .collect();
    // Names of tables can't be bound; these are constants of this crate.
    let query = format!(
        "select array[{}] from rm_{}_v{version}.{}",
        columns.join(", "),
        model.name(),
        model.table()
    );
    sqlx::query_scalar(&query)
        .fetch_all(postgres)
        .await
        .with_context(|| format!("read {} version {version}", model.name()))
}

fn differing(model: Model, expected: &Row, found: &Row) -> String {
    model
        .columns()
        .iter()
        .zip(expected.iter().zip(found))
        .filter(|(_, (expected, found))| expected != found)
        .map(|(column, (expected, found))| {
            let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "null".to_owned());
            format!("{column} is {} and must be {}", text(found), text(expected))
        })
        .collect::<Vec<_>>()
        .join(", ")
}
