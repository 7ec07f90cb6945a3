use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;

type Columns = Vec<Option<Vec<u8>>>;

fn encode(rows: &[Columns]) -> Vec<u8> {
    let mut bytes = SIGNATURE.to_vec();
    bytes.extend([0; 8]);
    for row in rows {
        bytes.extend((row.len() as i16).to_be_bytes());
        for field in row {
            let length = field.as_ref().map_or(-1, |field| field.len() as i32);
            bytes.extend(length.to_be_bytes());
            bytes.extend(field.iter().flatten());
        }
    }
    bytes.extend((-1i16).to_be_bytes());
    bytes
}

/// All rows, taken from chunks of this size.
fn decode(bytes: &[u8], chunk: usize) -> Result<Vec<Columns>, CopyError> {
    let mut decoder = Decoder::default();
    let mut rows = Vec::new();
    for chunk in bytes.chunks(chunk) {
        decoder.push(chunk);
        while let Some(mut fields) = decoder.next_row()? {
            let mut row = Vec::new();
            while fields.end().is_err() {
                row.push(fields.field()?.map(<[u8]>::to_vec));
            }
            rows.push(row);
        }
    }
    decoder.end()?;
    Ok(rows)
}

fn rows() -> impl Strategy<Value = Vec<Columns>> {
    vec(vec(option::of(vec(any::<u8>(), 0..40)), 0..6), 0..6)
}

/// Every typed field of whatever was cut out of the bytes.
fn take_all(bytes: &[u8]) -> Result<(), CopyError> {
    let fields = || Fields {
        whole: bytes,
        rest: Cut(bytes),
        column: 0,
    };
    let results = [
        fields().i64().map(drop),
        fields().i64_or_null().map(drop),
        fields().uuid().map(drop),
        fields().uuid_or_null().map(drop),
        fields().text().map(drop),
        fields().json().map(drop),
        fields().timestamp().map(drop),
        fields().bucket().map(drop),
    ];
    results.into_iter().collect()
}

proptest! {
    #[test]
    fn rows_arrive_as_they_were_however_they_were_cut(rows in rows(), chunk in 1usize..70) {
        prop_assert_eq!(decode(&encode(&rows), chunk).unwrap(), rows);
    }

    #[test]
    fn a_stream_that_ends_early_is_an_error(rows in rows(), chunk in 1usize..70, cut in any::<prop::sample::Index>()) {
        let bytes = encode(&rows);
        prop_assert!(decode(&bytes[..cut.index(bytes.len())], chunk).is_err());
    }

    #[test]
    fn a_stream_that_goes_on_after_its_end_is_an_error(rows in rows(), chunk in 1usize..70, more in vec(any::<u8>(), 1..9)) {
        let mut bytes = encode(&rows);
        bytes.extend(more);
        prop_assert!(decode(&bytes, chunk).is_err());
    }

    /// Whether it still decodes depends on what was hit; that it ends, without a panic, does not.
    #[test]
    fn garbled_bytes_do_not_panic(
        rows in rows(),
        chunk in 1usize..70,
        hits in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = encode(&rows);
        for (place, byte) in hits {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let _ = decode(&bytes, chunk);
    }

    #[test]
    fn a_garbled_field_does_not_panic(bytes in vec(any::<u8>(), 0..64)) {
        let _ = take_all(&bytes);
        let mut field = (bytes.len() as i32).to_be_bytes().to_vec();
        field.extend(bytes);
        let _ = take_all(&field);
    }
}

fn field<T>(
    bytes: &[u8],
    take: impl FnOnce(&mut Fields<'_>) -> Result<T, CopyError>,
) -> Result<T, CopyError> {
    let mut framed = (bytes.len() as i32).to_be_bytes().to_vec();
    framed.extend(bytes);
    take(&mut Fields {
        whole: &framed,
        rest: Cut(&framed),
        column: 0,
    })
}

#[test]
fn each_type_is_read_as_postgres_sends_it() {
    assert_eq!(field(&7i64.to_be_bytes(), |it| it.i64()).unwrap(), 7);
    assert_eq!(field("Zoë".as_bytes(), |it| it.text()).unwrap(), "Zoë");
    assert_eq!(
        field(&0i64.to_be_bytes(), |it| it.timestamp())
            .unwrap()
            .to_rfc3339(),
        "2000-01-01T00:00:00+00:00"
    );
    // The bytes are kept as they are: they are what is hashed.
    assert_eq!(
        field(br#"{"a" : 1}"#, |it| it.json()).unwrap().get(),
        r#"{"a" : 1}"#
    );
}

#[test]
fn what_is_not_of_its_type_is_refused() {
    assert!(matches!(
        field(&[0; 4], |it| it.i64()),
        Err(CopyError::FieldSize {
            column: 0,
            found: 4
        })
    ));
    assert!(matches!(
        field(&[0xff], |it| it.text()),
        Err(CopyError::Text { .. })
    ));
    assert!(matches!(
        field(b"{", |it| it.json()),
        Err(CopyError::Json { .. })
    ));
    assert!(matches!(
        field(&i64::MAX.to_be_bytes(), |it| it.timestamp()),
        Err(CopyError::Timestamp { .. })
    ));
    assert!(matches!(
        field(&1024i16.to_be_bytes(), |it| it.bucket()),
        Err(CopyError::Bucket { found: 1024, .. })
    ));
    assert!(matches!(
        field(&(-1i16).to_be_bytes(), |it| it.bucket()),
        Err(CopyError::Bucket { found: -1, .. })
    ));
}

#[test]
fn a_field_longer_than_any_is_refused_before_it_is_waited_for() {
    let mut bytes = encode(&[]);
    bytes.truncate(HEADER_BYTES);
    bytes.extend([0, 1, 0x7f, 0xff, 0xff, 0xff]);
    assert!(matches!(
        decode(&bytes, 64),
        Err(CopyError::FieldLength { column: 0, .. })
    ));
}
