//! `proofline demo`: real input through the whole pipeline, and every count compared with what was sent.
//!
//! The platform runs as a process of its own on a fresh data directory; this one is its merchant, its shop, its visitors
//! and its dashboard. What must be there comes from the plan, what is there from the engines themselves.

mod client;
mod counts;
mod plan;
mod platform_process;
mod report;
mod scan;
mod stream;
mod traffic;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream as futures_stream};
use reqwest::Method;
use serde_json::{Value, json};

use crate::account;
use crate::secrets::Secrets;
use crate::write_side;
use client::{Api, Shop};
use plan::{Expected, Plan, Size, Traffic, Webhook};
use platform_process::PlatformProcess;
use report::Report;
use stream::Watcher;

/// How many webhooks the shop has on their way at once.
const DELIVERIES_AT_ONCE: usize = 8;

#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    #[command(flatten)]
    size: Size,
    /// Emptied first, if an earlier demo made it; any other directory that is not empty is refused.
    #[arg(long, default_value = ".proofline/demo")]
    data_dir: PathBuf,
}

/// A merchant with a site, a shop and notifications.
struct Setup {
    site_id: String,
    embed_key: String,
    shop: Shop,
    published: Vec<String>,
}

/// Runs the demo and prints its table. Answers whether every count is as planned.
pub async fn run(args: DemoArgs) -> Result<bool> {
    let started = Instant::now();
    let platform = PlatformProcess::start(&args.data_dir).await?;
    let ready_after = started.elapsed();
    let sent = send(&platform, &args.size).await;
    // Whatever happened, the platform is stopped before it is told.
    let (sent, mut report) = match sent {
        Ok(sent) => sent,
        Err(error) => {
            platform.stop().await?;
            return Err(error);
        }
    };
    report.measure("ready after", format!("{:.1} s", ready_after.as_secs_f64()));
    report.measure("platform's memory, at most", platform.memory_max()?);
    let stopped = platform.stop().await?;
    report.measure("stopped after", format!("{:.1} s", stopped.as_secs_f64()));
    let leaks = scan::files_with(&args.data_dir, &sent.personal)?;
    report.count("files with a buyer's name or address", 0, leaks);
    report.print()
}

async fn send(platform: &PlatformProcess, size: &Size) -> Result<(Plan, Report)> {
    let connections = platform.connections()?;
    let secrets = Secrets::open(&connections).await?;
    let commands = write_side::open(&connections, &secrets).await?;
    let opened = account::open(&commands, &secrets.api_keys, "Proofline Demo").await?;
    let api = Api::new(platform.api_url(), &opened.key);
    let setup = set_up(&api).await?;
    let plan = Plan::new(size, platform::clock::now());
    let watcher = Watcher::start(&api).await?;
    let mut report = Report::default();

    let delivering = Instant::now();
    let delivered = deliver_all(&api, &setup.shop, &plan).await?;
    let deliveries = plan.webhooks().count();
    report.rate("webhooks", deliveries, delivering.elapsed());
    watcher.latencies(&delivered, &mut report).await?;

    let traffic = Traffic::new(size, setup.published.len());
    let collecting = Instant::now();
    let collected = traffic::send(&api, &setup, &traffic).await?;
    report.rate(
        "telemetry events",
        (traffic.accepted_total() + traffic.duplicates) as usize,
        collecting.elapsed(),
    );
    counts::compare(
        &connections,
        &setup,
        &plan,
        &traffic,
        &collected,
        &mut report,
    )
    .await?;
    report.measure(
        "all projections caught up after",
        format!("{:.1} s", collecting.elapsed().as_secs_f64()),
    );
    counts::compare_served(&api, &setup, &traffic, &collected, &mut report).await?;
    Ok((plan, report))
}

/// As the README's walk-through does by hand. Of three notifications, one is archived again.
async fn set_up(api: &Api) -> Result<Setup> {
    let site = json!({ "name": "Trail & Co", "domain": "shop.example.com" });
    let site = api.merchant(Method::POST, "/v1/sites", Some(site)).await?;
    let site_id = text(&site, "id")?;
    let shop = Shop {
        domain: "trail-and-co.myshopify.com".to_owned(),
        secret: "shpss_demo_5f2c9a".to_owned(),
        webhook_path: String::new(),
    };
    let integration =
        json!({ "platform": "shopify", "shop_domain": shop.domain, "webhook_secret": shop.secret });
    let integrations = format!("/v1/sites/{site_id}/integrations");
    let integration = api
        .merchant(Method::POST, &integrations, Some(integration))
        .await?;
    let webhook_path = format!("/hooks/{}", text(&integration, "id")?);

    let mut drafted = Vec::new();
    for (name, message) in [
        ("Recent sales", "{first_name} from {city} bought {product}"),
        ("Short", "{first_name} bought {product}"),
        ("Retired", "Somebody in {city} bought {product}"),
    ] {
        let path = format!("/v1/sites/{site_id}/notifications");
        let answer = api
            .merchant(
                Method::POST,
                &path,
                Some(json!({ "name": name, "message": message })),
            )
            .await?;
        drafted.push(text(&answer, "id")?);
    }
    let steps = [
        (0, "publish"),
        (1, "publish"),
        (1, "pause"),
        (1, "resume"),
        (2, "publish"),
        (2, "archive"),
    ];
    for (index, step) in steps {
        let path = format!(
            "/v1/sites/{site_id}/notifications/{}/{step}",
            drafted[index]
        );
        api.merchant(Method::POST, &path, None).await?;
    }
    drafted.truncate(2);
    Ok(Setup {
        site_id,
        embed_key: text(&site, "embed_key")?,
        shop: Shop {
            webhook_path,
            ..shop
        },
        published: drafted,
    })
}

/// Events that [`set_up`] and the opening of the account leave in the log, by type.
fn set_up_events() -> [(&'static str, u64); 9] {
    [
        ("account.opened", 1),
        ("account.api_key_issued", 1),
        ("site.registered", 1),
        ("integration.connected", 1),
        ("notification.drafted", 3),
        ("notification.published", 3),
        ("notification.paused", 1),
        ("notification.resumed", 1),
        ("notification.archived", 1),
    ]
}

/// When each recorded activity's webhook was sent, by activity id.
type Delivered = HashMap<String, Instant>;

async fn deliver_all(api: &Api, shop: &Shop, plan: &Plan) -> Result<Delivered> {
    let mut delivered = Delivered::new();
    for phase in &plan.phases {
        let answers: Vec<_> = futures_stream::iter(phase)
            .map(|webhook| deliver(api, shop, webhook))
            .buffer_unordered(DELIVERIES_AT_ONCE)
            .try_collect()
            .await?;
        delivered.extend(answers.into_iter().flatten());
    }
    Ok(delivered)
}

/// Checks the answer; `Some` for what a dashboard must be told of.
async fn deliver(api: &Api, shop: &Shop, webhook: &Webhook) -> Result<Option<(String, Instant)>> {
    let sent = Instant::now();
    let (status, answer) = api.deliver(shop, webhook).await?;
    let (expected_status, expected) = match webhook.expected {
        Expected::Recorded => (200, Some("recorded")),
        Expected::Withdrawn => (200, Some("withdrawn")),
        Expected::NoEvent => (200, None),
        Expected::Refused => (401, None),
    };
    ensure!(
        status.as_u16() == expected_status
            && expected.is_none_or(|expected| answer["status"] == expected),
        "{} was answered with {status} {answer}, and {:?} was expected",
        webhook.topic,
        webhook.expected
    );
    match webhook.expected {
        Expected::Recorded => Ok(Some((text(&answer, "activity_id")?, sent))),
        Expected::Withdrawn | Expected::NoEvent | Expected::Refused => Ok(None),
    }
}

/// A member of an answer that must be there.
fn text(answer: &Value, member: &str) -> Result<String> {
    answer[member]
        .as_str()
        .map(str::to_owned)
        .with_context(|| format!("no {member} in {answer}"))
}

/// How long the projections may take to catch up before the demo gives up on them.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(120);
