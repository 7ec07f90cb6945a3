//! Looks for plain text in files, as somebody would who got hold of the disk.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

/// Every search text starts with or contains this many bytes in a window, which is what is looked up.
const WINDOW: usize = 8;

/// How many files below a directory hold any of the texts, in any case. Names the first ones in the log.
pub(super) fn files_with(directory: &Path, texts: &[String]) -> Result<u64> {
    let lower: Vec<Vec<u8>> = texts
        .iter()
        .map(|text| text.to_lowercase().into_bytes())
        .collect();
    let windows: HashSet<&[u8]> = lower.iter().filter_map(|text| text.get(..WINDOW)).collect();
    let mut found = 0;
    let mut left = vec![directory.to_owned()];
    while let Some(next) = left.pop() {
        for entry in
            fs::read_dir(&next).with_context(|| format!("could not read {}", next.display()))?
        {
            let path = entry?.path();
            if path.is_dir() {
                left.push(path);
            } else if path.is_file() && holds(&path, &lower, &windows)? {
                tracing::error!(path = %path.display(), "personal data stands here in plain text");
                found += 1;
            }
        }
    }
    Ok(found)
}

fn holds(path: &Path, texts: &[Vec<u8>], windows: &HashSet<&[u8]>) -> Result<bool> {
    let mut bytes = fs::read(path).with_context(|| format!("could not read {}", path.display()))?;
    bytes.make_ascii_lowercase();
    Ok(bytes.windows(WINDOW).enumerate().any(|(at, window)| {
        windows.contains(window) && texts.iter().any(|text| bytes[at..].starts_with(text))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_wherever_it_stands_and_in_any_case() {
        let directory = std::env::temp_dir().join(format!("scan-{}", uuid::Uuid::now_v7()));
        fs::create_dir_all(directory.join("deep")).unwrap();
        fs::write(directory.join("clean"), b"nothing here").unwrap();
        fs::write(directory.join("deep/dirty"), b"\0\0xxQZX00001SONyy").unwrap();
        let texts = ["Qzx00001son".to_owned(), "Qzx00002son".to_owned()];
        assert_eq!(files_with(&directory, &texts).unwrap(), 1);
        assert_eq!(files_with(&directory, &texts[1..]).unwrap(), 0);
        fs::remove_dir_all(directory).unwrap();
    }
}
