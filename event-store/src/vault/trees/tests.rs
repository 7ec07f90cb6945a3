use super::*;

/// Stored for ever: keys are found by them. Computed with another implementation of SHA-256.
#[test]
fn whose_tree_is_whose_and_what_its_key_is_called_stays() {
    let id = TreeId::of(Uuid::from_u128(0x1111), Uuid::from_u128(1));
    assert_eq!(id.shard, 4);
    assert_eq!(
        id.first_key().to_string(),
        "fd57a541-05c7-8755-8f74-ddd73bb2b8b7"
    );
}
