//! Who placed an order, as far as the shop says.

use domain::{Buyer, City, CountryCode, Email, FirstName, LastName};
use serde::Deserialize;

use super::lenient::known;

#[derive(Default, Deserialize)]
pub(super) struct Customer {
    #[serde(default, deserialize_with = "known")]
    pub(super) email: Option<String>,
    #[serde(flatten)]
    name: Name,
}

#[derive(Default, Deserialize)]
pub(super) struct Address {
    #[serde(flatten)]
    name: Name,
    #[serde(default, deserialize_with = "known")]
    city: Option<String>,
    #[serde(default, deserialize_with = "known")]
    country_code: Option<String>,
}

#[derive(Default, Deserialize)]
struct Name {
    #[serde(default, deserialize_with = "known")]
    first_name: Option<String>,
    #[serde(default, deserialize_with = "known")]
    last_name: Option<String>,
}

type FullName = (Option<FirstName>, Option<LastName>);
type Place = (Option<City>, Option<CountryCode>);

/// Names from the customer, else from the billing address, else from the shipping address; the place from the shipping
/// address, else from the billing address. Each from one source: half of one person and half of another is nobody.
pub(super) fn buyer<'a>(
    emails: impl IntoIterator<Item = &'a str>,
    customer: &Customer,
    billing: &Address,
    shipping: &Address,
) -> Option<Buyer> {
    let names = [&customer.name, &billing.name, &shipping.name];
    let (first_name, last_name) = names.into_iter().find_map(Name::read).unwrap_or_default();
    let places = [shipping, billing];
    let (city, country) = places
        .into_iter()
        .find_map(Address::place)
        .unwrap_or_default();
    let buyer = Buyer {
        first_name,
        last_name,
        email: emails
            .into_iter()
            .find_map(|email| Email::parse(email).ok()),
        city,
        country,
    };
    (buyer != Buyer::default()).then_some(buyer)
}

impl Name {
    fn read(&self) -> Option<FullName> {
        let first = self.first_name.as_deref().and_then(FirstName::clipped);
        let last = self.last_name.as_deref().and_then(LastName::clipped);
        (first.is_some() || last.is_some()).then_some((first, last))
    }
}

impl Address {
    fn place(&self) -> Option<Place> {
        let city = self.city.as_deref().and_then(City::clipped);
        let country = self.country_code.as_deref();
        let country =
            country.and_then(|code| CountryCode::parse(&code.trim().to_ascii_uppercase()).ok());
        (city.is_some() || country.is_some()).then_some((city, country))
    }
}
