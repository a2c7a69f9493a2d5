//! A wire between a client and a server, which can die without a word: no byte goes through any more, and neither end is told.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::collector::said;

/// The wire. Its connections end with the process.
pub struct Wire {
    /// Where to connect.
    pub port: u16,
    state: Arc<watch::Sender<State>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct State {
    /// Connections of an earlier age are dead for ever.
    age: u32,
    /// And so are new ones.
    dead: bool,
}

// === impl Wire ===

impl Wire {
    /// To a port of this machine.
    pub async fn to(server: u16) -> Result<Wire, String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(said)?;
        let port = listener.local_addr().map_err(said)?.port();
        let state = Arc::new(watch::Sender::new(State { age: 0, dead: false }));
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let state = shared.subscribe();
                tokio::spawn(async move {
                    let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
                    let ((from_client, to_client), (from_server, to_server)) =
                        (client.into_split(), server.into_split());
                    tokio::join!(pass(from_client, to_server, state.clone()), pass(from_server, to_client, state));
                });
            }
        });
        Ok(Wire { port, state })
    }

    /// From now on nothing goes through, not even a farewell.
    pub fn die(&self) {
        self.state.send_modify(|state| *state = State { age: state.age + 1, dead: true });
    }

    /// New connections work again; those that were there never will.
    pub fn revive(&self) {
        self.state.send_modify(|state| *state = State { age: state.age + 1, dead: false });
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut state: watch::Receiver<State>) {
    let born = *state.borrow_and_update();
    let passing = async {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            if to.write_all(&buffer[..count]).await.is_err() {
                break;
            }
        }
    };
    if !born.dead {
        tokio::select! {
            () = passing => return,
            _ = state.wait_for(|state| *state != born) => {}
        }
    }
    // Held open: to close them would be a word.
    std::future::pending::<()>().await;
}
