//! The page on which something happened: its path alone, since the rest may tell who it was.

const CHARS_MAX: usize = 512;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PageError {
    #[error("a page is a path such as /products/shoe, or the address of one")]
    NotAPath,
    #[error("a path has at most 512 characters")]
    TooLong,
    #[error("a path holds no control characters")]
    ControlCharacter,
}

impl PageError {
    /// Part of the answer; never rename.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::NotAPath => "page_not_a_path",
            Self::TooLong => "page_too_long",
            Self::ControlCharacter => "page_control_character",
        }
    }
}

/// The path of a path or address, without scheme, host, query and fragment.
pub(crate) fn path_of(page: &str) -> Result<String, PageError> {
    let before = |text: &str, ends: &[char]| text.find(ends).unwrap_or(text.len());
    let page = page.trim();
    let page = &page[..before(page, &['?', '#'])];
    let path = match after_scheme(page) {
        Some(host_and_path) => &host_and_path[before(host_and_path, &['/'])..],
        None => page,
    };
    let path = if path.is_empty() { "/" } else { path };
    if !path.starts_with('/') {
        Err(PageError::NotAPath)
    } else if path.chars().any(char::is_control) {
        Err(PageError::ControlCharacter)
    } else if path.chars().count() > CHARS_MAX {
        Err(PageError::TooLong)
    } else {
        Ok(without_addresses(path))
    }
}

/// Some shops put a customer's address into a path.
fn without_addresses(path: &str) -> String {
    let shown = |segment| {
        if domain::holds_address(segment) {
            "-"
        } else {
            segment
        }
    };
    path.split('/').map(shown).collect::<Vec<_>>().join("/")
}

/// What follows `https://`, or `//` alone, which stands for the page's own scheme.
fn after_scheme(page: &str) -> Option<&str> {
    let (scheme, rest) = page.split_once("//")?;
    let name = scheme.strip_suffix(':').unwrap_or(scheme);
    let absent = scheme.is_empty();
    let web = name.eq_ignore_ascii_case("http") || name.eq_ignore_ascii_case("https");
    (absent || web && scheme.ends_with(':')).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_in_a_path_is_not_kept() {
        assert_eq!(
            path_of("/account/anna@example.com/orders").unwrap(),
            "/account/-/orders"
        );
        assert_eq!(
            path_of("https://a.example/u/anna%40example.com").unwrap(),
            "/u/-"
        );
    }

    #[test]
    fn only_the_path_is_kept() {
        for (page, path) in [
            ("/products/shoe", "/products/shoe"),
            ("/products/shoe?email=anna@example.com#x", "/products/shoe"),
            ("/#/checkout", "/"),
            ("https://shop.example/products/shoe?x", "/products/shoe"),
            ("HTTPS://anna:secret@shop.example:8443/a//b", "/a//b"),
            ("https://shop.example", "/"),
            ("https://shop.example?x=/y", "/"),
            ("//shop.example/a", "/a"),
            ("/a//b", "/a//b"),
            ("/a?next=https://shop.example/b", "/a"),
            (" /läden/größe ", "/läden/größe"),
            ("", "/"),
            ("?utm_source=mail", "/"),
        ] {
            assert_eq!(path_of(page).as_deref(), Ok(path), "{page}");
        }
    }

    #[test]
    fn what_has_no_path_is_refused() {
        for (page, error) in [
            ("about:blank", PageError::NotAPath),
            ("javascript:alert(1)", PageError::NotAPath),
            ("file:///home/anna", PageError::NotAPath),
            ("products/shoe", PageError::NotAPath),
            ("/a\u{0}b", PageError::ControlCharacter),
            (&format!("/{}", "x".repeat(512)), PageError::TooLong),
        ] {
            assert_eq!(path_of(page), Err(error), "{page:?}");
        }
        assert!(path_of(&format!("/{}?{}", "ä".repeat(511), "x".repeat(600))).is_ok());
    }
}
