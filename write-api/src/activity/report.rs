//! A merchant's report of an activity, and the checks of its values.

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use commands::NewActivity;
use domain::activity::ActivityKind;
use domain::{
    Buyer, City, CountryCode, Currency, DomainError, Email, ExternalId, FirstName, LastName, Money,
    ProductTitle,
};
use platform::fields::Fields;
use platform::problem::Problem;
use serde::Deserialize;
use utoipa::ToSchema;

const FUTURE_MAX: TimeDelta = TimeDelta::days(1);
const PAST_MAX: TimeDelta = TimeDelta::days(5 * 365 + 1);

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "kind": "order",
    "occurred_at": "2026-11-20T09:30:00Z",
    "external_id": "10231",
    "buyer": { "first_name": "Anna", "city": "Berlin", "country": "DE" },
    "product": "Trail Runner 3",
    "items_count": 2,
    "total": { "amount": "199.00", "currency": "EUR" }
}))]
pub(crate) struct RecordActivity {
    /// `order`, `sign_up`, `review` or `custom`.
    kind: String,
    /// RFC 3339, at most a day ahead and five years ago. Now, where it is left out.
    #[schema(format = DateTime)]
    occurred_at: Option<String>,
    /// What the merchant calls it. Reported again under the same one, it is the same activity. Stored in plain text, so it must
    /// not hold an e-mail address.
    #[schema(max_length = 200)]
    external_id: Option<String>,
    buyer: Option<ReportedBuyer>,
    #[schema(max_length = 200)]
    product: Option<String>,
    /// 1 where it is left out and there is a product, else 0.
    items_count: Option<u32>,
    total: Option<ReportedTotal>,
}

/// Stored sealed. Only first name, city and country are ever shown to others.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReportedBuyer {
    #[schema(max_length = 100)]
    first_name: Option<String>,
    #[schema(max_length = 100)]
    last_name: Option<String>,
    #[schema(max_length = 254)]
    email: Option<String>,
    #[schema(max_length = 100)]
    city: Option<String>,
    /// ISO 3166-1 alpha-2, in capitals.
    #[schema(min_length = 2, max_length = 2)]
    country: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReportedTotal {
    /// Decimal, with at most as many decimals as the currency has.
    #[schema(example = "199.00")]
    amount: String,
    /// ISO 4217, in capitals.
    #[schema(example = "EUR")]
    currency: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum TimeError {
    #[error("A time is written as in 2026-11-20T09:30:00Z (RFC 3339).")]
    NotATime,
    #[error("This is more than a day ahead.")]
    TooFarAhead,
    #[error("This is more than five years ago.")]
    TooLongAgo,
}

impl TimeError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotATime => "invalid_time",
            Self::TooFarAhead => "too_far_ahead",
            Self::TooLongAgo => "too_long_ago",
        }
    }
}

impl RecordActivity {
    pub(crate) fn parse(
        self,
        now: DateTime<Utc>,
    ) -> Result<(Option<ExternalId>, NewActivity), Problem> {
        let mut fields = Fields::new();
        let kind = fields.take("/kind", ActivityKind::parse(&self.kind), |error| {
            error.code()
        });
        let occurred_at = self.occurred_at.map(|text| parse_time(&text, now));
        let occurred_at = fields.take_optional("/occurred_at", occurred_at, TimeError::code);
        let external_id = optional(
            &mut fields,
            "/external_id",
            self.external_id,
            ExternalId::reported,
        );
        let buyer = match self.buyer {
            Some(buyer) => buyer.parse(&mut fields),
            None => Some(None),
        };
        let product = optional(&mut fields, "/product", self.product, ProductTitle::parse);
        let total = match self.total {
            Some(total) => total.parse(&mut fields).map(Some),
            None => Some(None),
        };
        let (kind, occurred_at, external_id, buyer, product, total) =
            fields.all((kind, occurred_at, external_id, buyer, product, total))?;
        let activity = NewActivity {
            kind,
            occurred_at: occurred_at.unwrap_or(now),
            items_count: self.items_count.unwrap_or(product.is_some().into()),
            buyer,
            product,
            total,
        };
        Ok((external_id, activity))
    }
}

impl ReportedBuyer {
    /// The inner `None` is somebody of whom nothing is told.
    fn parse(self, fields: &mut Fields) -> Option<Option<Buyer>> {
        let first = optional(
            fields,
            "/buyer/first_name",
            self.first_name,
            FirstName::parse,
        );
        let last = optional(fields, "/buyer/last_name", self.last_name, LastName::parse);
        let email = optional(fields, "/buyer/email", self.email, Email::parse);
        let city = optional(fields, "/buyer/city", self.city, City::parse);
        let country = optional(fields, "/buyer/country", self.country, CountryCode::parse);
        let buyer = Buyer {
            first_name: first?,
            last_name: last?,
            email: email?,
            city: city?,
            country: country?,
        };
        Some((buyer != Buyer::default()).then_some(buyer))
    }
}

impl ReportedTotal {
    fn parse(self, fields: &mut Fields) -> Option<Money> {
        let currency = Currency::parse(&self.currency);
        let currency = fields.take("/total/currency", currency, |error| error.code())?;
        let money = Money::parse_decimal(&self.amount, currency);
        fields.take("/total/amount", money, |error| error.code())
    }
}

fn optional<T, E: DomainError>(
    fields: &mut Fields,
    pointer: &str,
    raw: Option<String>,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Option<Option<T>> {
    let parsed = raw.as_deref().map(parse);
    fields.take_optional(pointer, parsed, |error| error.code())
}

fn parse_time(text: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, TimeError> {
    let time = DateTime::parse_from_rfc3339(text).map_err(|_| TimeError::NotATime)?;
    let time = time.to_utc().trunc_subsecs(6);
    if time - now > FUTURE_MAX {
        Err(TimeError::TooFarAhead)
    } else if now - time > PAST_MAX {
        Err(TimeError::TooLongAgo)
    } else {
        Ok(time)
    }
}

#[cfg(test)]
mod tests {
    use platform::json;

    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-11-21T06:00:00Z".parse().unwrap()
    }

    #[track_caller]
    fn parse(body: &str) -> Result<(Option<ExternalId>, NewActivity), Problem> {
        json::parse::<RecordActivity>(body.as_bytes())
            .unwrap()
            .parse(now())
    }

    #[test]
    fn a_full_report_is_read() {
        let body = r#"{"kind":"order","occurred_at":"2026-11-20T10:30:00.1234567+01:00","external_id":"10231",
            "buyer":{"first_name":"Anna","last_name":"Schmidt","email":"anna@example.com","city":"Berlin","country":"DE"},
            "product":"Trail Runner 3","items_count":2,"total":{"amount":"199.00","currency":"EUR"}}"#;
        let (external_id, activity) = parse(body).unwrap();
        assert_eq!(external_id.unwrap().as_str(), "10231");
        assert_eq!(
            activity.occurred_at.to_rfc3339(),
            "2026-11-20T09:30:00.123456+00:00"
        );
        assert_eq!(activity.total.unwrap().to_string(), "199.00 EUR");
        assert_eq!(activity.items_count, 2);
        assert_eq!(activity.buyer.unwrap().country.unwrap().as_str(), "DE");
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let (external_id, activity) = parse(r#"{"kind":"sign_up","buyer":{}}"#).unwrap();
        assert_eq!(external_id, None);
        assert_eq!(activity.occurred_at, now());
        assert_eq!((activity.items_count, activity.buyer), (0, None));
        let (_, activity) = parse(r#"{"kind":"order","product":"Shoe"}"#).unwrap();
        assert_eq!(activity.items_count, 1);
    }

    #[test]
    fn every_wrong_value_is_named_at_once() {
        let body = r#"{"kind":"gossip","occurred_at":"yesterday","external_id":"a b",
            "buyer":{"first_name":"","email":"anna","country":"de"},
            "product":" ","total":{"amount":"1.999","currency":"EUR"}}"#;
        let problem = parse(body).unwrap_err();
        let errors: Vec<(&str, &str)> = (problem.errors().iter())
            .map(|error| (error.pointer.as_deref().unwrap(), &*error.code))
            .collect();
        let expected = [
            ("#/kind", "unknown_name"),
            ("#/occurred_at", "invalid_time"),
            ("#/external_id", "space"),
            ("#/buyer/first_name", "empty"),
            ("#/buyer/email", "invalid_email"),
            ("#/buyer/country", "invalid_country"),
            ("#/product", "empty"),
            ("#/total/amount", "money_too_many_decimals"),
        ];
        assert_eq!(errors, expected);
    }

    /// It would stay when the person is erased.
    #[test]
    fn a_person_is_no_external_id() {
        let problem = parse(r#"{"kind":"sign_up","external_id":"anna@example.com"}"#).unwrap_err();
        assert_eq!(problem.errors()[0].code, "address");
    }

    #[test]
    fn a_time_years_off_is_refused() {
        for (time, code) in [
            ("2026-11-22T06:00:00Z", None),
            ("2026-11-22T06:00:01Z", Some("too_far_ahead")),
            ("2021-11-22T06:00:00Z", None),
            ("2021-11-19T06:00:00Z", Some("too_long_ago")),
            ("0000-01-01T00:00:00Z", Some("too_long_ago")),
            ("9999-12-31T23:59:59Z", Some("too_far_ahead")),
            ("2026-11-20", Some("invalid_time")),
        ] {
            let found = parse_time(time, now()).err().map(|error| error.code());
            assert_eq!(found, code, "{time}");
        }
    }
}
