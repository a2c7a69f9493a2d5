//! Stand-ins for those who know keys.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::Request;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::{Chain, Environment, Settings};

/// Answers to paths, each on a connection of its own, "401" as a status; and the requests that came.
pub(crate) async fn service(answers: &'static [(&str, &str)]) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let told = asked.clone();
    let serve = async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !is_whole(&request) && stream.read_buf(&mut request).await.unwrap_or(0) > 0 {}
            let request = String::from_utf8_lossy(&request).to_lowercase();
            let answer = answers.iter().find(|(line, _)| request.starts_with(&format!("{line} ")));
            let (status, body) = match answer {
                None => ("404 Not Found", ""),
                Some((_, "401")) => ("401 Unauthorized", ""),
                Some((_, body)) => ("200 OK", *body),
            };
            told.lock().unwrap().push(request);
            let length = body.len();
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    };
    drop(base_sys::task::spawn("metadata", serve));
    (address, asked)
}

fn is_whole(request: &[u8]) -> bool {
    let request = String::from_utf8_lossy(request).to_lowercase();
    let Some((head, body)) = request.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= length.map_or(0, |length| length.parse().unwrap())
}

pub(crate) fn environment(variables: &[(&str, &str)]) -> Environment {
    let variables: Vec<_> = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Arc::new(move |name: &str| {
        variables.iter().find(|(known, _)| known == name).map_or(String::new(), |(_, value)| value.clone())
    })
}

/// The access key and the token that a request is signed with.
pub(crate) async fn signed(environment: Environment) -> Result<(String, String), String> {
    let settings = Settings { region: "eu-west-1".to_owned(), ..Settings::default() };
    let chain = Chain::new(settings, environment)?;
    let mut token = String::new();
    let mut key = String::new();
    // Twice: keys are kept.
    for _ in 0..2 {
        let mut request = Request::builder().uri("http://a/").body(Bytes::new()).unwrap();
        chain.sign(&mut request, "ec2").await?;
        let header = |name: &str| request.headers()[name].to_str().unwrap().to_owned();
        token = header("x-amz-security-token");
        key = header("authorization").split_once("Credential=").unwrap().1.split('/').next().unwrap().to_owned();
    }
    Ok((key, token))
}
