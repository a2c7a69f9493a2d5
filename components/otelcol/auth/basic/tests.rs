//! Who comes in, and what is given.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use language_eval::{FromValue as _, Scope};
use sdk_otel::auth::AuthHandler;
use sdk_testing::component::Alone;

use super::Basic;
use crate::auth::testing::given;

fn handler(config: &str) -> Result<AuthHandler, String> {
    let alone = Alone::<Basic>::build(config, &Scope::new())?;
    Ok(AuthHandler::from_value(&alone.export("handler").unwrap()).unwrap())
}

fn ask(handler: &AuthHandler, pair: &str) -> Result<Vec<(String, String)>, String> {
    let value = format!("basic {}", STANDARD.encode(pair)).parse().unwrap();
    handler.server().unwrap().authenticate(&HeaderMap::from_iter([(http::header::AUTHORIZATION, value)]))
}

#[test]
fn every_kind_of_password_that_htpasswd_writes_is_understood() {
    // Written by openssl, all for "secret".
    for line in ["ann:secret", "ann:$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/", "ann:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="] {
        let Ok(handler) = handler(&format!("htpasswd {{\n inline = {line:?}\n}}\n")) else { panic!("{line}") };
        let twice = [ask(&handler, "ann:secret"), ask(&handler, "ann:secret")];
        for answer in twice {
            assert_eq!(answer, Ok(vec![("username".to_owned(), "ann".to_owned())]), "{line}");
        }
        for wrong in ["ann:Secret", "bob:secret", "ann:", "ann"] {
            assert!(ask(&handler, wrong).is_err(), "{line} {wrong}");
        }
    }
}

#[test]
fn bcrypt_is_understood() {
    let hash = bcrypt::hash("secret", 4).unwrap();
    let handler = handler(&format!("htpasswd {{\n inline = \"ann:{hash}\"\n}}\n")).unwrap();
    assert!(ask(&handler, "ann:secret").is_ok());
    assert!(ask(&handler, "ann:wrong").is_err());
}

#[test]
fn a_file_is_read_again_when_it_changes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("users");
    let handler =
        handler(&format!("htpasswd {{\n file = {:?}\n inline = \"ann:inline\"\n}}\n", path.to_str().unwrap())).unwrap();
    assert!(ask(&handler, "bob:one").is_err(), "there is no file yet");
    std::fs::write(&path, "bob:one\nann:file\n").unwrap();
    assert!(ask(&handler, "bob:one").is_ok());
    assert!(ask(&handler, "ann:inline").is_ok(), "inline wins");
    assert!(ask(&handler, "ann:file").is_err());
    std::fs::write(&path, "bob:another\n").unwrap();
    assert!(ask(&handler, "bob:one").is_err(), "what was right before is not remembered past its time");
    assert!(ask(&handler, "bob:another").is_ok());
}

#[tokio::test]
async fn exporters_give_what_the_file_says() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("password");
    std::fs::write(&path, "s3cret\n").unwrap();
    let config = format!(
        "client_auth {{\n username = \"ann\"\n password = \"unused\"\n password_file = {:?}\n}}\n",
        path.to_str().unwrap()
    );
    let handler = handler(&config).unwrap();
    let headers = given(&handler).await.unwrap();
    assert_eq!(headers["authorization"], format!("Basic {}", STANDARD.encode("ann:s3cret")));
    assert!(headers["authorization"].is_sensitive());
    assert!(handler.server().is_err(), "it is for exporters only");
}

#[tokio::test]
async fn the_old_arguments_are_for_both_sides() {
    let handler = handler("username = \"ann\"\npassword = \"secret\"\n").unwrap();
    assert!(ask(&handler, "ann:secret").is_ok());
    assert!(given(&handler).await.is_ok());
}

#[test]
fn what_is_missing_is_said() {
    for (config, word) in [
        ("", "no credential source"),
        ("username = \"ann\"\n", "no password"),
        ("htpasswd {\n inline = \"no colon\"\n}\n", "line 1"),
        ("htpasswd {\n inline = \"ann:$6$abc\"\n}\n", "bcrypt"),
    ] {
        let error = handler(config).err().unwrap_or_default();
        assert!(error.contains(word), "{config}: {error}");
    }
}
