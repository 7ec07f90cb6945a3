//! Nobody inherits a transaction that somebody else did not wait for.

use event_store::{Role, begin, connect};
use sqlx::Row as _;
use tests::World;

use crate::support::cut_after;

#[tokio::test]
async fn who_is_cut_off_while_a_transaction_begins_leaves_none_behind() {
    let world = World::new().await;
    let pool = connect(&world.database_url, Role::Writer, 1).unwrap();
    for polls in 0..10 {
        // Of one statement, which is a transaction of its own, as far as the server tells.
        let own = "select transaction_timestamp() = statement_timestamp() as own";
        let own = sqlx::raw_sql(own).fetch_one(&pool).await.unwrap();
        assert!(own.get::<bool, _>("own"), "cut off before {polls}");
        cut_after(polls, begin(&pool)).await;
    }
}
