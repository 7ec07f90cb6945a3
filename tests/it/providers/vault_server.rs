//! HashiCorp Vault's transit engine, as strict as it is and with a policy that lets nobody make a key by encrypting.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use aes_gcm::aead::{Aead as _, KeyInit as _};
use aes_gcm::{Aes256Gcm, Nonce};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sha2::Sha256;
use uuid::Uuid;

pub(super) const TOKEN: &str = "hvs.test";
const MOUNT: &str = "/v1/transit/";
const NONCE_BYTES: usize = 12;

pub(super) struct VaultServer {
    pub(super) url: String,
    engine: Arc<Engine>,
}

#[derive(Default)]
struct Engine {
    sealed: AtomicBool,
    /// Whom it serves; nobody where there is none.
    token: Mutex<String>,
    namespace: Mutex<Option<String>>,
    keys: Mutex<HashMap<String, Key>>,
    calls: AtomicUsize,
}

struct Key {
    secret: [u8; 32],
    deletion_allowed: bool,
}

type Refusal = (StatusCode, Vec<String>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    r#type: String,
    derived: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Configure {
    deletion_allowed: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Encrypt {
    plaintext: String,
    context: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Decrypt {
    ciphertext: String,
    context: Option<String>,
}

impl VaultServer {
    pub(super) async fn start() -> Self {
        let engine = Arc::new(Engine::default());
        *engine.token.lock().unwrap() = TOKEN.to_owned();
        let router = Router::new().fallback(answer).with_state(engine.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, engine }
    }

    pub(super) fn seal(&self, sealed: bool) {
        self.engine.sealed.store(sealed, Ordering::SeqCst);
    }

    /// From now on it knows this token only.
    pub(super) fn accept(&self, token: &str) {
        token.clone_into(&mut self.engine.token.lock().unwrap());
    }

    pub(super) fn serve_namespace(&self, namespace: &str) {
        *self.engine.namespace.lock().unwrap() = Some(namespace.to_owned());
    }

    /// How often it was asked for anything.
    pub(super) fn calls(&self) -> usize {
        self.engine.calls.load(Ordering::SeqCst)
    }

    pub(super) fn keys(&self) -> Vec<String> {
        self.engine.keys.lock().unwrap().keys().cloned().collect()
    }
}

async fn answer(
    State(engine): State<Arc<Engine>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match engine.serve(&method, &uri, &headers, &body) {
        Ok(None) => StatusCode::NO_CONTENT.into_response(),
        Ok(Some(data)) => {
            let answer = json!({
                "request_id": Uuid::new_v4(), "lease_id": "", "renewable": false, "lease_duration": 0, "data": data,
                "wrap_info": null, "warnings": null, "auth": null, "mount_type": "transit",
            });
            Json(answer).into_response()
        }
        Err((status, errors)) => (status, Json(json!({ "errors": errors }))).into_response(),
    }
}

impl Engine {
    fn serve(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Option<Value>, Refusal> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if self.sealed.load(Ordering::SeqCst) {
            return Err(refusal(StatusCode::SERVICE_UNAVAILABLE, "Vault is sealed"));
        }
        let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap());
        let known = header("x-vault-token") == Some(&*self.token.lock().unwrap());
        if !known || header("x-vault-namespace") != self.namespace.lock().unwrap().as_deref() {
            return Err(refusal(StatusCode::FORBIDDEN, "permission denied"));
        }
        if !body.is_empty() && header("content-type") != Some("application/json") {
            return Err(bad("a body must be JSON"));
        }
        assert_eq!(uri.query(), None, "nothing is asked for in a query");
        let nowhere = || refusal(StatusCode::NOT_FOUND, "no handler for route");
        let path = uri.path().strip_prefix(MOUNT).ok_or_else(nowhere)?;
        let parts: Vec<&str> = path.split('/').collect();
        let mut keys = self.keys.lock().unwrap();
        match (method.as_str(), &parts[..]) {
            ("POST", ["keys", name]) => {
                let create: Create = parsed(body)?;
                if create.r#type != "aes256-gcm96" || !create.derived {
                    return Err(bad("not a key that this test knows"));
                }
                keys.entry((*name).to_owned()).or_insert_with(Key::random);
                Ok(Some(told(name, &keys[*name])))
            }
            ("GET", ["keys", name]) => {
                let key = keys.get(*name).ok_or((StatusCode::NOT_FOUND, Vec::new()))?;
                Ok(Some(told(name, key)))
            }
            ("POST", ["keys", name, "config"]) => {
                let configure: Configure = parsed(body)?;
                let key = keys
                    .get_mut(*name)
                    .ok_or_else(|| bad("no existing key of that name could be found"))?;
                key.deletion_allowed = configure.deletion_allowed;
                Ok(Some(told(name, key)))
            }
            ("DELETE", ["keys", name]) => match keys.get(*name) {
                None => Err(bad("could not delete key; not found")),
                Some(key) if !key.deletion_allowed => {
                    Err(bad("deletion is not allowed for this key"))
                }
                Some(_) => {
                    keys.remove(*name);
                    Ok(None)
                }
            },
            ("POST", ["encrypt", name]) => {
                let encrypt: Encrypt = parsed(body)?;
                let key = keys.get(*name);
                // It would be made, if the policy let that happen.
                let key = key.ok_or_else(|| refusal(StatusCode::FORBIDDEN, "permission denied"))?;
                let plaintext = decoded(&encrypt.plaintext)?;
                let nonce: [u8; NONCE_BYTES] = rand::random();
                let sealed = key
                    .cipher(encrypt.context.as_deref())?
                    .encrypt(&Nonce::from(nonce), &*plaintext)
                    .unwrap();
                let sealed = STANDARD.encode([&nonce[..], &sealed].concat());
                Ok(Some(
                    json!({ "ciphertext": format!("vault:v1:{sealed}"), "key_version": 1 }),
                ))
            }
            ("POST", ["decrypt", name]) => {
                let decrypt: Decrypt = parsed(body)?;
                let key = keys
                    .get(*name)
                    .ok_or_else(|| bad("encryption key not found"))?;
                let sealed = decrypt
                    .ciphertext
                    .strip_prefix("vault:v1:")
                    .ok_or_else(|| bad("invalid ciphertext: no prefix"))?;
                let sealed = decoded(sealed)?;
                let opened = sealed
                    .split_first_chunk::<NONCE_BYTES>()
                    .and_then(|(nonce, sealed)| {
                        let cipher = key.cipher(decrypt.context.as_deref());
                        cipher.ok()?.decrypt(&Nonce::from(*nonce), sealed).ok()
                    })
                    .ok_or_else(|| bad("cipher: message authentication failed"))?;
                Ok(Some(json!({ "plaintext": STANDARD.encode(opened) })))
            }
            _ => Err(nowhere()),
        }
    }
}

impl Key {
    fn random() -> Self {
        Self {
            secret: rand::random(),
            deletion_allowed: false,
        }
    }

    /// Of the key that derives for a context.
    fn cipher(&self, context: Option<&str>) -> Result<Aes256Gcm, Refusal> {
        let context = context.ok_or_else(|| {
            bad("missing 'context' for key derivation; the key was created using a derived key")
        })?;
        let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(&self.secret).unwrap();
        mac.update(&decoded(context)?);
        let derived: [u8; 32] = mac.finalize().into_bytes().into();
        Ok(Aes256Gcm::new(&derived.into()))
    }
}

fn told(name: &str, key: &Key) -> Value {
    json!({ "name": name, "type": "aes256-gcm96", "derived": true, "deletion_allowed": key.deletion_allowed })
}

fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| bad(&error.to_string()))
}

fn decoded(text: &str) -> Result<Vec<u8>, Refusal> {
    STANDARD
        .decode(text)
        .map_err(|error| bad(&error.to_string()))
}

fn bad(what: &str) -> Refusal {
    refusal(StatusCode::BAD_REQUEST, what)
}

fn refusal(status: StatusCode, what: &str) -> Refusal {
    (status, vec![what.to_owned()])
}
