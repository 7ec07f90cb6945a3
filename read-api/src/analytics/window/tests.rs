use super::*;

fn now() -> DateTime<Utc> {
    "2026-11-21T06:29:05.25Z".parse().unwrap()
}

fn query(start: &str, end: &str, interval: &str) -> WindowQuery {
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    WindowQuery {
        start: given(start),
        end: given(end),
        interval: given(interval),
    }
}

#[track_caller]
fn window(start: &str, end: &str, interval: &str) -> (String, String, usize) {
    let window = Window::parse(&query(start, end, interval), now()).unwrap();
    let text = |time: DateTime<Utc>| time.format("%FT%T%.fZ").to_string();
    (
        text(window.start),
        text(window.end),
        window.starts().count(),
    )
}

#[track_caller]
fn errors(start: &str, end: &str, interval: &str) -> Vec<(String, String)> {
    let problem = Window::parse(&query(start, end, interval), now()).unwrap_err();
    assert_eq!(problem.kind(), ProblemKind::InvalidParameter);
    let error = |error: &FieldError| (error.parameter.clone().unwrap(), error.code.clone());
    problem.errors().iter().map(error).collect()
}

#[track_caller]
fn assert_window(found: (String, String, usize), start: &str, end: &str, intervals: usize) {
    assert_eq!(found, (start.to_owned(), end.to_owned(), intervals));
}

#[test]
fn without_parameters_it_is_the_last_24_hours_or_30_days_up_to_the_current_one() {
    assert_window(
        window("", "", ""),
        "2026-11-20T07:00:00Z",
        "2026-11-21T07:00:00Z",
        24,
    );
    assert_window(
        window("", "", "day"),
        "2026-10-23T00:00:00Z",
        "2026-11-22T00:00:00Z",
        30,
    );
    let earlier = window("", "2026-11-20T12:00:00Z", "hour");
    assert_window(earlier, "2026-11-19T12:00:00Z", "2026-11-20T12:00:00Z", 24);
}

#[test]
fn a_window_is_rounded_outwards_to_whole_intervals_of_utc() {
    let (start, end) = ("2026-11-20T23:30:00+02:00", "2026-11-21T00:00:00.000001Z");
    assert_window(
        window(start, end, "hour"),
        "2026-11-20T21:00:00Z",
        "2026-11-21T01:00:00Z",
        4,
    );
    assert_window(
        window(start, end, "day"),
        "2026-11-20T00:00:00Z",
        "2026-11-22T00:00:00Z",
        2,
    );
    let whole = ("2026-11-20T21:00:00Z", "2026-11-20T22:00:00Z");
    assert_window(window(whole.0, whole.1, "hour"), whole.0, whole.1, 1);
}

#[test]
fn the_longest_windows_fit_and_one_microsecond_more_does_not() {
    let start = "2026-01-01T00:00:00Z";
    assert_eq!(window(start, "2026-02-01T00:00:00Z", "hour").2, 31 * 24);
    assert_eq!(window(start, "2027-02-05T00:00:00Z", "day").2, 400);
    let too_long = [("end".to_owned(), "window_too_long".to_owned())];
    assert_eq!(errors(start, "2026-02-01T00:00:00.000001Z", ""), too_long);
    assert_eq!(
        errors(start, "2027-02-05T00:00:00.000001Z", "day"),
        too_long
    );
}

#[test]
fn every_wrong_parameter_is_named_at_once() {
    let named = |list: &[(&str, &str)]| -> Vec<(String, String)> {
        list.iter()
            .map(|(name, code)| ((*name).to_owned(), (*code).to_owned()))
            .collect()
    };
    assert_eq!(
        errors("yesterday", "2026-11-21", "week"),
        named(&[
            ("start", "invalid_value"),
            ("end", "invalid_value"),
            ("interval", "unknown_variant"),
        ])
    );
    let (early, late) = ("2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z");
    assert_eq!(
        errors(late, early, "week"),
        named(&[("interval", "unknown_variant"), ("end", "window_inverted")])
    );
    assert_eq!(errors(late, late, ""), named(&[("end", "window_inverted")]));
    assert_eq!(
        errors("2026-11-22T00:00:00Z", "", ""),
        named(&[("end", "window_inverted")])
    );
    assert_eq!(
        errors("1969-12-31T23:59:59Z", "9999-12-31T23:59:59Z", ""),
        named(&[("start", "out_of_range"), ("end", "out_of_range")])
    );
    // A `+` that was not escaped has become a space.
    assert_eq!(
        errors("2026-11-20T00:00:00 02:00", late, ""),
        named(&[("start", "invalid_value")])
    );
}
