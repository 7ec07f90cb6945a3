//! Money: whole minor units of a currency. No floating point anywhere.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::error::{DomainError, ErrorKind};

/// A currency as ISO 4217 writes it: `EUR`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("A currency is written as three capital letters, such as EUR.")]
pub struct InvalidCurrency;

impl DomainError for InvalidCurrency {
    fn code(&self) -> &'static str {
        "invalid_currency"
    }

    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

impl Currency {
    pub fn parse(raw: &str) -> Result<Self, InvalidCurrency> {
        match raw.as_bytes() {
            &[a @ b'A'..=b'Z', b @ b'A'..=b'Z', c @ b'A'..=b'Z'] => Ok(Self([a, b, c])),
            _ => Err(InvalidCurrency),
        }
    }

    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).expect("parse lets only ASCII letters in")
    }

    /// How many decimals the minor unit stands for: 2 for EUR (cents), 0 for JPY.
    ///
    /// Amounts are stored in minor units, so an entry here can't change without an upcaster.
    pub const fn minor_unit_digits(self) -> u32 {
        match &self.0 {
            b"BIF" | b"CLP" | b"DJF" | b"GNF" | b"ISK" | b"JPY" | b"KMF" | b"KRW" | b"PYG"
            | b"RWF" | b"UGX" | b"UYI" | b"VND" | b"VUV" | b"XAF" | b"XOF" | b"XPF" => 0,
            b"BHD" | b"IQD" | b"JOD" | b"KWD" | b"LYD" | b"OMR" | b"TND" => 3,
            b"CLF" | b"UYW" => 4,
            _ => 2,
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Currency {
    type Err = InvalidCurrency;

    fn from_str(text: &str) -> Result<Self, InvalidCurrency> {
        Self::parse(text)
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

/// An amount of nothing or more, in minor units of its currency: `{"minor": 19900, "currency": "EUR"}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "StoredMoney")]
pub struct Money {
    minor: i64,
    currency: Currency,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    #[error("An amount is written as digits with a decimal point, such as 199.00.")]
    NotDecimal,
    #[error("An amount must not be negative.")]
    Negative,
    #[error("An amount in {currency} has at most {max} decimals.")]
    TooManyDecimals { currency: Currency, max: u32 },
    #[error("This amount is too large.")]
    TooLarge,
}

impl DomainError for MoneyError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotDecimal => "money_not_decimal",
            Self::Negative => "money_negative",
            Self::TooManyDecimals { .. } => "money_too_many_decimals",
            Self::TooLarge => "money_too_large",
        }
    }

    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

impl Money {
    pub const fn try_new(minor: i64, currency: Currency) -> Result<Self, MoneyError> {
        if minor < 0 {
            return Err(MoneyError::Negative);
        }
        Ok(Self { minor, currency })
    }

    /// Reads what shops send: digits, then optionally a point and digits. Exact; decimals beyond the currency's
    /// own must be zeros.
    pub fn parse_decimal(text: &str, currency: Currency) -> Result<Self, MoneyError> {
        if text.starts_with('-') {
            return Err(MoneyError::Negative);
        }
        let (whole, decimals) = match text.split_once('.') {
            Some((_, "")) => return Err(MoneyError::NotDecimal),
            Some(parts) => parts,
            None => (text, ""),
        };
        if whole.is_empty()
            || !whole
                .bytes()
                .chain(decimals.bytes())
                .all(|b| b.is_ascii_digit())
        {
            return Err(MoneyError::NotDecimal);
        }

        let max = currency.minor_unit_digits();
        let (kept, beyond) = decimals.split_at(decimals.len().min(max as usize));
        if beyond.bytes().any(|b| b != b'0') {
            return Err(MoneyError::TooManyDecimals { currency, max });
        }
        let missing = (max as usize) - kept.len();
        let minor = whole
            .bytes()
            .chain(kept.bytes())
            .chain(std::iter::repeat_n(b'0', missing))
            .try_fold(0_i64, |minor, digit| {
                minor.checked_mul(10)?.checked_add(i64::from(digit - b'0'))
            })
            .ok_or(MoneyError::TooLarge)?;
        Self::try_new(minor, currency)
    }

    pub const fn minor(self) -> i64 {
        self.minor
    }

    pub const fn currency(self) -> Currency {
        self.currency
    }
}

/// `199.00 EUR`, with the currency's own number of decimals.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.currency.minor_unit_digits();
        let unit = 10_i64.pow(digits);
        let (whole, decimals) = (self.minor / unit, self.minor % unit);
        match digits {
            0 => write!(f, "{whole} {}", self.currency),
            _ => write!(
                f,
                "{whole}.{decimals:0width$} {}",
                self.currency,
                width = digits as usize
            ),
        }
    }
}

#[derive(Deserialize)]
struct StoredMoney {
    minor: i64,
    currency: Currency,
}

impl TryFrom<StoredMoney> for Money {
    type Error = MoneyError;

    fn try_from(stored: StoredMoney) -> Result<Self, MoneyError> {
        Self::try_new(stored.minor, stored.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn currency(code: &str) -> Currency {
        Currency::parse(code).unwrap()
    }

    #[test]
    fn a_currency_is_three_capital_letters() {
        assert_eq!(currency("EUR").to_string(), "EUR");
        for bad in ["", "EU", "eur", "EURO", "E1R", "€"] {
            assert_eq!(Currency::parse(bad), Err(InvalidCurrency), "{bad}");
        }
    }

    #[test]
    fn a_shops_decimal_text_is_read_exactly_and_shown_again() {
        for (text, code, minor, shown) in [
            ("199.00", "EUR", 19_900, "199.00 EUR"),
            ("199", "EUR", 19_900, "199.00 EUR"),
            ("0.1", "USD", 10, "0.10 USD"),
            ("0.29", "USD", 29, "0.29 USD"),
            ("199.00", "JPY", 199, "199 JPY"),
            ("1.2340", "KWD", 1_234, "1.234 KWD"),
            ("1.5", "CLF", 15_000, "1.5000 CLF"),
            ("000.000000", "EUR", 0, "0.00 EUR"),
            (
                "92233720368547758.07",
                "EUR",
                i64::MAX,
                "92233720368547758.07 EUR",
            ),
        ] {
            let money = Money::parse_decimal(text, currency(code)).unwrap();
            assert_eq!(money.minor(), minor, "{text} {code}");
            assert_eq!(money.to_string(), shown);
        }
    }

    #[test]
    fn an_amount_that_is_not_exactly_representable_is_refused() {
        let usd = currency("USD");
        for (text, code, error) in [
            (
                "1.999",
                "USD",
                MoneyError::TooManyDecimals {
                    currency: usd,
                    max: 2,
                },
            ),
            (
                "1.5",
                "JPY",
                MoneyError::TooManyDecimals {
                    currency: currency("JPY"),
                    max: 0,
                },
            ),
            ("92233720368547758.08", "USD", MoneyError::TooLarge),
            ("99999999999999999999999", "JPY", MoneyError::TooLarge),
            ("-1.00", "USD", MoneyError::Negative),
            ("", "USD", MoneyError::NotDecimal),
            (".5", "USD", MoneyError::NotDecimal),
            ("5.", "USD", MoneyError::NotDecimal),
            ("+5", "USD", MoneyError::NotDecimal),
            ("1,00", "USD", MoneyError::NotDecimal),
            ("1.0.0", "USD", MoneyError::NotDecimal),
            ("1e3", "USD", MoneyError::NotDecimal),
            ("NaN", "USD", MoneyError::NotDecimal),
            (" 1", "USD", MoneyError::NotDecimal),
            ("١", "USD", MoneyError::NotDecimal),
        ] {
            assert_eq!(
                Money::parse_decimal(text, currency(code)),
                Err(error),
                "{text}"
            );
        }
    }

    #[test]
    fn stored_money_goes_through_the_same_check() {
        let money = Money::try_new(19_900, currency("EUR")).unwrap();
        let json = serde_json::to_string(&money).unwrap();
        assert_eq!(json, r#"{"minor":19900,"currency":"EUR"}"#);
        assert_eq!(serde_json::from_str::<Money>(&json).unwrap(), money);
        for bad in [
            r#"{"minor":-1,"currency":"EUR"}"#,
            r#"{"minor":1.5,"currency":"EUR"}"#,
            r#"{"minor":1,"currency":"eur"}"#,
        ] {
            assert!(serde_json::from_str::<Money>(bad).is_err(), "{bad}");
        }
    }
}
