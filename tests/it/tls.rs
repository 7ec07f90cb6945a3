//! Whoever listens between a platform and its engines, or its callers, reads nothing.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use engines::{Config, Engines, Silent};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use reqwest::{Certificate, Client, Url};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::faults::program;
use crate::part::until;

/// Certificates of an authority that nobody else knows.
struct Trust {
    authority: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl Trust {
    fn new(folder: &Path, name: &str) -> Self {
        let authority_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        // Unlike that of what it signs, which would count as signed by itself.
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&authority_key).unwrap();
        let issuer = Issuer::new(params, authority_key);
        let key = KeyPair::generate().unwrap();
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let params = CertificateParams::new(names).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let file = |part: &str, pem: String| {
            let path = folder.join(format!("{name}-{part}.pem"));
            std::fs::write(&path, pem).unwrap();
            path
        };
        Self {
            authority: file("authority", authority.pem()),
            certificate: file("certificate", certificate.pem()),
            key: file("key", key.serialize_pem()),
        }
    }

    /// A server's end of TLS in front of an engine that has none here. Counts who came through.
    async fn terminate(&self, url: &str) -> (SocketAddr, Arc<AtomicUsize>) {
        let url = Url::parse(url).unwrap();
        let target = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
        let certificate = CertificateDer::from_pem_file(&self.certificate).unwrap();
        let key = PrivateKeyDer::from_pem_file(&self.key).unwrap();
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, through) = (
            listener.local_addr().unwrap(),
            Arc::<AtomicUsize>::default(),
        );
        let counted = through.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (acceptor, target) = (acceptor.clone(), target.clone());
                let counted = counted.clone();
                tokio::spawn(async move {
                    let Ok(mut client) = acceptor.accept(client).await else {
                        return;
                    };
                    counted.fetch_add(1, Ordering::SeqCst);
                    let mut engine = TcpStream::connect(target).await.unwrap();
                    drop(tokio::io::copy_bidirectional(&mut client, &mut engine).await);
                });
            }
        });
        (address, through)
    }
}

/// Makes Postgres take TLS, as whoever runs it would.
async fn secure(database_url: &str, trust: &Trust) {
    let mut owner = PgConnection::connect(database_url).await.unwrap();
    for (path, file) in [
        (&trust.certificate, "server.crt"),
        (&trust.key, "server.key"),
    ] {
        let pem = std::fs::read_to_string(path).unwrap();
        let lines = format!("select unnest(string_to_array('{}', E'\\n'))", pem.trim());
        let copy = format!("copy ({lines}) to program 'umask 077; cat > {file}'");
        owner.execute(&*copy).await.unwrap();
    }
    owner.execute("alter system set ssl = on").await.unwrap();
    owner.execute("select pg_reload_conf()").await.unwrap();
}

#[tokio::test]
async fn engines_and_callers_are_reached_over_tls_and_nobody_else_is_believed() {
    let folder = tempfile::tempdir().unwrap();
    // Postgres runs as another user and must be able to get there.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).unwrap();
    let mut config = Config::new(folder.path().join("data"))
        .unwrap()
        .with_urls_from_env();
    config.database_url = None;
    config.clickhouse_command = (program(), vec!["clickhouse-server".to_owned()]);
    let engines = Engines::start(config, &Silent).await.unwrap();
    let urls = engines.urls();
    let trust = Trust::new(folder.path(), "ours");
    let stranger = Trust::new(folder.path(), "stranger");
    secure(&urls.database_url, &trust).await;
    let (redis, through_redis) = trust.terminate(&urls.redis_url).await;
    let (clickhouse, through_clickhouse) = trust.terminate(&urls.clickhouse_url).await;
    let authority = |trust: &Trust| trust.authority.display().to_string();
    let postgres = |trust: &Trust| {
        let mut url = Url::parse(&urls.database_url).unwrap();
        url.set_path(&format!("tls_{}", uuid::Uuid::now_v7().simple()));
        url.query_pairs_mut()
            .append_pair("sslmode", "verify-full")
            .append_pair("sslrootcert", &authority(trust));
        url.to_string()
    };
    let behind = |url: &str, scheme: &str, address: SocketAddr| {
        let mut url = Url::parse(&url.replacen("://", "s://", 1)).unwrap();
        assert_eq!(url.scheme(), scheme);
        url.set_port(Some(address.port())).unwrap();
        url.to_string()
    };
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let log = folder.path().join("log");
    let database_url = postgres(&trust);
    let platform = |database_url: &str| {
        let log = std::fs::File::create(&log).unwrap();
        let mut command = Command::new(program());
        command
            .args(["up", "--no-demo", "--port", &port.to_string(), "--data-dir"])
            .arg(folder.path().join("platform"))
            .env("DATABASE_URL", database_url)
            .env_remove("KEYS_DATABASE_URL")
            .env("REDIS_URL", behind(&urls.redis_url, "rediss", redis))
            .env(
                "CLICKHOUSE_URL",
                behind(&urls.clickhouse_url, "https", clickhouse),
            )
            .env("SSL_CERT_FILE", authority(&trust))
            .env("PROOFLINE_TLS_CERTIFICATES", &trust.certificate)
            .env("PROOFLINE_TLS_PRIVATE_KEY", &trust.key)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .kill_on_drop(true);
        command
    };
    let told = || std::fs::read_to_string(&log).unwrap();

    // An engine that somebody else vouches for is not talked to.
    let refused = platform(&postgres(&stranger)).status().await.unwrap();
    assert!(
        !refused.success() && told().contains("certificate"),
        "{}",
        told()
    );

    let mut running = platform(&database_url).spawn().unwrap();
    let pem = std::fs::read(&trust.authority).unwrap();
    let trusting = Client::builder()
        .add_root_certificate(Certificate::from_pem(&pem).unwrap())
        .build()
        .unwrap();
    let ready = format!("https://localhost:{port}/readyz");
    let answers = async || {
        let answer = trusting.get(&ready).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    };
    until(answers, told).await;
    assert!(
        Client::new().get(&ready).send().await.is_err(),
        "nobody vouches for it"
    );
    let plain = Client::new()
        .get(ready.replace("https", "http"))
        .send()
        .await;
    assert!(plain.is_err(), "{plain:?}");

    let came_through = async || {
        through_redis.load(Ordering::SeqCst) > 0 && through_clickhouse.load(Ordering::SeqCst) > 0
    };
    until(came_through, told).await;
    let mut owner = PgConnection::connect(&urls.database_url).await.unwrap();
    let (all, secure): (i64, i64) = sqlx::query_as(
        "select count(*), count(*) filter (where s.ssl) from pg_stat_ssl s join pg_stat_activity a using (pid)
         where starts_with(a.application_name, 'proofline_')",
    )
    .fetch_one(&mut owner)
    .await
    .unwrap();
    assert!(all > 0 && secure == all, "{secure} of {all}");

    // Tools find the same engines by the same URLs.
    let made = Command::new(program().with_file_name("replay"))
        .args(["backup", "create", "--data-dir"])
        .arg(folder.path().join("platform"))
        .env("SSL_CERT_FILE", authority(&trust))
        .env_remove("DATABASE_URL")
        .env_remove("KEYS_DATABASE_URL")
        .env_remove("REDIS_URL")
        .env_remove("CLICKHOUSE_URL")
        .output()
        .await
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    running.start_kill().unwrap();
    running.wait().await.unwrap();
    engines.stop().await;
}
