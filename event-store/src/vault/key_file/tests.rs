use super::*;

fn current(file: &LocalKeyFile, bucket: u16) -> String {
    file.look().unwrap().current[&(bucket % KEY_BUCKETS)].clone()
}

#[test]
fn a_key_file_is_made_once_and_opens_what_it_wrapped() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("nested/keys.json");
    let first = LocalKeyFile::open_or_create(&path).unwrap();
    let second = LocalKeyFile::open_or_create(&path).unwrap();
    let (subject, key) = (Uuid::now_v7(), SubjectKey::random());
    let key_id = current(&first, 1000);
    let wrapped = first.wrap_now(&key_id, subject, &key).unwrap();
    assert_eq!(
        second
            .unwrap_now(&key_id, subject, &wrapped)
            .unwrap()
            .expose(),
        key.expose()
    );
    assert_eq!(first.root().fingerprint(), second.root().fingerprint());
}

#[test]
fn a_wrapped_key_opens_for_nobody_else_and_not_when_altered() {
    let directory = tempfile::tempdir().unwrap();
    let file = LocalKeyFile::open_or_create(&directory.path().join("keys.json")).unwrap();
    let subject = Uuid::now_v7();
    let key_id = current(&file, 0);
    let wrapped = file
        .wrap_now(&key_id, subject, &SubjectKey::random())
        .unwrap();
    assert!(matches!(
        file.unwrap_now(&key_id, Uuid::now_v7(), &wrapped),
        Err(ProviderError::Refused)
    ));
    for byte in 0..wrapped.len() {
        let mut altered = wrapped.clone();
        altered[byte] ^= 1;
        assert!(matches!(
            file.unwrap_now(&key_id, subject, &altered),
            Err(ProviderError::Refused)
        ));
    }
    assert!(matches!(
        file.unwrap_now("gone", subject, &wrapped),
        Err(ProviderError::UnknownKey(_))
    ));
}

#[test]
fn a_key_file_that_others_may_read_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.json");
    LocalKeyFile::open_or_create(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(
        LocalKeyFile::open_or_create(&path),
        Err(ProviderError::Exposed { .. })
    ));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&path, "{}").unwrap();
    assert!(matches!(
        LocalKeyFile::open_or_create(&path),
        Err(ProviderError::Malformed { .. })
    ));
}

/// Two processes share the file: what one of them does, the other one knows.
#[test]
fn a_renewed_key_takes_the_place_of_the_old_one_which_opens_until_it_is_destroyed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.json");
    let here = LocalKeyFile::open_or_create(&path).unwrap();
    let there = LocalKeyFile::open(&path).unwrap();
    let (subject, key) = (Uuid::now_v7(), SubjectKey::random());
    let old = current(&here, 7);
    let wrapped = here.wrap_now(&old, subject, &key).unwrap();

    let new = here.renew_now(&old).unwrap();
    assert_ne!(new, old);
    assert_eq!(
        there.renew_now(&old).unwrap(),
        new,
        "it was renewed already"
    );
    assert_eq!(current(&there, 7), new);
    assert_eq!(current(&there, 8), current(&here, 8));
    assert!(there.unwrap_now(&old, subject, &wrapped).is_ok());

    assert!(matches!(
        there.destroy_now(&new),
        Err(ProviderError::InUse(_))
    ));
    let destroyed = there.destroy_now(&old).unwrap();
    assert_eq!(there.destroy_now(&old).unwrap().receipt, destroyed.receipt);
    assert!(matches!(
        here.unwrap_now(&old, subject, &wrapped),
        Err(ProviderError::UnknownKey(_))
    ));
    assert!(!fs::read_to_string(&path).unwrap().contains(&old));
    assert!(matches!(
        here.renew_now(&old),
        Err(ProviderError::UnknownKey(_))
    ));
    // Whoever opens it afresh finds the same.
    assert_eq!(current(&LocalKeyFile::open(&path).unwrap(), 7), new);
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
}
