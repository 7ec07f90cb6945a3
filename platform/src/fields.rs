//! Collects every wrong value of a body before answering, each with its JSON pointer.
//!
//! ```
//! # use platform::{fields::Fields, problem::Problem};
//! # #[derive(Debug, thiserror::Error)] #[error("must not be empty")] struct NameError;
//! # impl NameError { fn code(&self) -> &'static str { "empty" } }
//! # fn parse_name(s: &str) -> Result<String, NameError> { if s.is_empty() { Err(NameError) } else { Ok(s.into()) } }
//! # fn handler(given_name: &str, given_city: Option<&str>) -> Result<(), Problem> {
//! let mut fields = Fields::new();
//! let name = fields.take("/name", parse_name(given_name), NameError::code);
//! let city = fields.take_optional("/city", given_city.map(parse_name), NameError::code);
//! let (name, city) = fields.all((name, city))?; // String, Option<String>
//! # Ok(()) }
//! # assert_eq!(handler("", Some("")).unwrap_err().errors().len(), 2);
//! # assert!(handler("Anna", None).is_ok());
//! ```

use std::fmt::Display;

use crate::problem::{FieldError, Problem, ProblemKind};

/// The wrong values found so far.
#[derive(Debug, Default)]
#[must_use = "ask `finish` or `all`, or the errors are lost"]
pub struct Fields {
    errors: Vec<FieldError>,
}

impl Fields {
    pub fn new() -> Self {
        Self::default()
    }

    /// The value, or `None` with its error kept. The error's `Display` becomes the detail, `code` its code.
    pub fn take<T, E: Display>(
        &mut self,
        pointer: impl AsRef<str>,
        parsed: Result<T, E>,
        code: impl FnOnce(&E) -> &'static str,
    ) -> Option<T> {
        match parsed {
            Ok(value) => Some(value),
            Err(error) => {
                let code = code(&error);
                self.refuse(pointer, code, error.to_string());
                None
            }
        }
    }

    /// The same for a field that may be absent: the outer `Option` says whether it was right, the inner one
    /// whether it was there.
    pub fn take_optional<T, E: Display>(
        &mut self,
        pointer: impl AsRef<str>,
        parsed: Option<Result<T, E>>,
        code: impl FnOnce(&E) -> &'static str,
    ) -> Option<Option<T>> {
        match parsed {
            None => Some(None),
            Some(parsed) => self.take(pointer, parsed, code).map(Some),
        }
    }

    /// Record an error that no single parse finds, such as two fields that do not fit together.
    pub fn refuse(
        &mut self,
        pointer: impl AsRef<str>,
        code: &'static str,
        detail: impl Into<String>,
    ) {
        self.errors.push(FieldError::pointer(pointer, code, detail));
    }

    /// Fails with one `invalid-body` problem that lists every error.
    pub fn finish(self) -> Result<(), Problem> {
        if self.errors.is_empty() {
            return Ok(());
        }
        Err(self
            .errors
            .into_iter()
            .fold(Problem::new(ProblemKind::InvalidBody), Problem::error))
    }

    /// [`Fields::finish`], and hand over what was taken: a tuple of `Option<T>` becomes a tuple of `T`.
    pub fn all<T: Taken>(self, taken: T) -> Result<T::Values, Problem> {
        self.finish()?;
        taken.values().ok_or_else(|| {
            Problem::new(ProblemKind::Internal)
                .internal(anyhow::anyhow!("a field was taken from other `Fields`"))
        })
    }
}

/// Tuples of what [`Fields::take`] returned.
pub trait Taken {
    type Values;

    fn values(self) -> Option<Self::Values>;
}

macro_rules! taken {
    ($($field:ident)+) => {
        impl<$($field),+> Taken for ($(Option<$field>,)+) {
            type Values = ($($field,)+);

            #[expect(non_snake_case, reason = "one identifier serves as type and as value")]
            fn values(self) -> Option<Self::Values> {
                let ($($field,)+) = self;
                Some(($($field?,)+))
            }
        }
    };
}

taken!(A);
taken!(A B);
taken!(A B C);
taken!(A B C D);
taken!(A B C D E);
taken!(A B C D E F);
taken!(A B C D E F G);
taken!(A B C D E F G H);
taken!(A B C D E F G H I);
taken!(A B C D E F G H I J);
taken!(A B C D E F G H I J K);
taken!(A B C D E F G H I J K L);

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("must be at most {max} characters")]
    struct TooLong {
        max: usize,
    }

    impl TooLong {
        fn code(&self) -> &'static str {
            "too_long"
        }
    }

    #[test]
    fn all_errors_come_in_one_problem_with_their_pointers() {
        let mut fields = Fields::new();
        let name = fields.take("/name", Err::<u8, _>(TooLong { max: 80 }), TooLong::code);
        let city = fields.take("/items/0/city", Ok(1), TooLong::code);
        fields.refuse("", "window_inverted", "start is after end");
        let problem = fields.all((name, city)).unwrap_err();
        assert_eq!(problem.kind(), ProblemKind::InvalidBody);
        assert_eq!(
            problem.errors(),
            [
                FieldError::pointer("/name", "too_long", "must be at most 80 characters"),
                FieldError::pointer("", "window_inverted", "start is after end"),
            ]
        );
    }

    #[test]
    fn right_values_are_handed_over() {
        let mut fields = Fields::new();
        let a = fields.take("/a", Ok(1), TooLong::code);
        let b = fields.take_optional("/b", None::<Result<u8, _>>, TooLong::code);
        let c = fields.take_optional("/c", Some(Ok("x")), TooLong::code);
        assert_eq!(fields.all((a, b, c)).unwrap(), (1, None, Some("x")));
    }

    #[test]
    fn a_value_lost_without_an_error_is_our_fault() {
        let problem = Fields::new().all((None::<u8>,)).unwrap_err();
        assert_eq!(problem.kind(), ProblemKind::Internal);
    }
}
