//! The parameters of a request, sorted into what they mean.

use axum::http::{HeaderMap, Method};
use uuid::Uuid;

use super::exception::{Exception, code};

/// Everything but the statement's text and data.
#[derive(Default)]
pub(crate) struct Options {
    /// From the URL (or a form); the body is appended to it.
    pub(crate) query: Option<String>,
    pub(crate) database: Option<String>,
    /// Values for `{name:Type}`, without the prefix `param_`.
    pub(crate) parameters: Vec<(String, String)>,
    /// Every other parameter is a setting of ClickHouse.
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) default_format: Option<String>,
    pub(crate) query_id: String,
    run_id: Uuid,
    /// Results in ClickHouse's own compressed blocks.
    pub(crate) compress: bool,
    /// The body comes in ClickHouse's own compressed blocks.
    pub(crate) decompress: bool,
    pub(crate) wait_end_of_query: bool,
    user: Option<String>,
    password: Option<String>,
}

impl Options {
    pub(crate) fn new(
        method: &Method,
        headers: &HeaderMap,
        url_query: &str,
    ) -> Result<Self, Exception> {
        let mut options = Self {
            run_id: Uuid::new_v4(),
            ..Self::default()
        };
        for (name, value) in form_urlencoded::parse(url_query.as_bytes()) {
            options.take(&name, value.into_owned())?;
        }
        if let Some(database) = header(headers, "x-clickhouse-database") {
            options.database.get_or_insert(database);
        }
        if let Some(format) = header(headers, "x-clickhouse-format") {
            options.default_format.get_or_insert(format);
        }
        if options.query_id.is_empty() {
            options.query_id = options.run_id.to_string();
        }
        if method == Method::GET && !options.settings.iter().any(|(name, _)| name == "readonly") {
            // As ClickHouse: what a link can do must not change anything. Settings may still be set.
            options
                .settings
                .push(("readonly".to_owned(), "2".to_owned()));
        }
        Ok(options)
    }

    /// One parameter, of the URL or of a form.
    pub(crate) fn take(&mut self, name: &str, value: String) -> Result<(), Exception> {
        match name {
            "query" => match &mut self.query {
                Some(query) => query.push_str(&value),
                None => self.query = Some(value),
            },
            "database" => self.database = Some(value).filter(|name| !name.is_empty()),
            "default_format" => self.default_format = Some(value),
            "query_id" => self.query_id = value,
            "compress" => self.compress = flag(&value),
            "decompress" => self.decompress = flag(&value),
            "wait_end_of_query" => self.wait_end_of_query = flag(&value),
            "user" => self.user = Some(value),
            "password" => self.password = Some(value),
            // Of no effect here: the size of a buffer, and a key for quotas that nobody has.
            "buffer_size" | "quota_key" => {}
            "session_id" | "session_timeout" | "session_check" => {
                return Err(Exception::new(
                    code::NOT_IMPLEMENTED,
                    "Sessions are not supported by this server: every request stands alone (NOT_IMPLEMENTED)",
                ));
            }
            "role" => {
                return Err(Exception::new(
                    code::NOT_IMPLEMENTED,
                    "Roles are not supported by this server: it knows one user (NOT_IMPLEMENTED)",
                ));
            }
            "client_protocol_version" if value == "0" => {}
            "client_protocol_version" => {
                return Err(Exception::new(
                    code::NOT_IMPLEMENTED,
                    "Native blocks are written for protocol version 0 only (NOT_IMPLEMENTED)",
                ));
            }
            _ => match name.strip_prefix("param_") {
                Some(parameter) => self.parameters.push((parameter.to_owned(), value)),
                None => self.setting(name, value)?,
            },
        }
        Ok(())
    }

    fn setting(&mut self, name: &str, value: String) -> Result<(), Exception> {
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(Exception::new(
                code::UNKNOWN_SETTING,
                format!(
                    "Unknown setting '{}' (UNKNOWN_SETTING)",
                    name.escape_default()
                ),
            ));
        }
        self.settings.push((name.to_owned(), value));
        Ok(())
    }

    /// Marks the engine's query as that of this one run: clients may give several the same id.
    pub(crate) fn comment(&self) -> String {
        format!("{} {}", self.query_id, self.run_id)
    }

    /// The user and password of headers, basic authentication or the URL, in ClickHouse's order.
    pub(crate) fn credentials(&self, headers: &HeaderMap) -> Option<(String, String)> {
        if let Some(user) = header(headers, "x-clickhouse-user") {
            return Some((
                user,
                header(headers, "x-clickhouse-key").unwrap_or_default(),
            ));
        }
        if let Some(basic) = header(headers, "authorization").as_deref().and_then(basic) {
            return Some(basic);
        }
        let user = self.user.clone()?;
        Some((user, self.password.clone().unwrap_or_default()))
    }
}

fn flag(value: &str) -> bool {
    !matches!(value, "" | "0" | "false")
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

fn basic(value: &str) -> Option<(String, String)> {
    use base64::Engine as _;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = base64::engine::general_purpose::STANDARD
        .decode(encoded.trim())
        .ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(url_query: &str) -> Result<Options, Exception> {
        Options::new(&Method::POST, &HeaderMap::new(), url_query)
    }

    #[test]
    fn parameters_are_sorted_by_what_they_mean() {
        let found = options(
            "query=SELECT+1&database=d&param_x=1%2B1&max_threads=2&decompress=1&default_format=CSV",
        )
        .unwrap();
        assert_eq!(found.query.as_deref(), Some("SELECT 1"));
        assert_eq!(found.database.as_deref(), Some("d"));
        assert_eq!(found.parameters, [("x".to_owned(), "1+1".to_owned())]);
        assert_eq!(found.settings, [("max_threads".to_owned(), "2".to_owned())]);
        assert!(found.decompress && !found.compress);
        assert_eq!(found.default_format.as_deref(), Some("CSV"));
    }

    #[test]
    fn what_can_not_be_a_setting_is_refused() {
        assert_eq!(options("a'b=1").err().unwrap().code, code::UNKNOWN_SETTING);
        assert_eq!(
            options("session_id=x").err().unwrap().code,
            code::NOT_IMPLEMENTED
        );
    }

    #[test]
    fn a_get_may_not_write() {
        let found = Options::new(&Method::GET, &HeaderMap::new(), "query=x").unwrap();
        assert_eq!(found.settings, [("readonly".to_owned(), "2".to_owned())]);
    }
}
