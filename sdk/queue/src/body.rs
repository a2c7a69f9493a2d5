//! The body of a record.

use bytes::Bytes;

/// An encoded request in pieces that lie end to end: what came in pieces is neither joined to be queued nor to be sent.
#[derive(Clone, Debug, Default)]
pub struct Body(Vec<Bytes>);

impl Body {
    /// The pieces, in order.
    #[must_use]
    pub fn pieces(&self) -> &[Bytes] {
        &self.0
    }

    /// Bytes of all pieces.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    /// Whether there is not one byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Bytes::is_empty)
    }

    /// All of it as one: free when there is one piece, one copy otherwise.
    #[must_use]
    pub fn joined(&self) -> Bytes {
        if let [piece] = &self.0[..] { piece.clone() } else { self.0.concat().into() }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Body {
        Body(vec![bytes])
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Body {
        Bytes::from(bytes).into()
    }
}

impl From<Vec<Bytes>> for Body {
    fn from(pieces: Vec<Bytes>) -> Body {
        Body(pieces)
    }
}

impl From<Body> for Vec<Bytes> {
    fn from(body: Body) -> Vec<Bytes> {
        body.0
    }
}

/// Where the pieces end is nothing that anybody can see.
impl PartialEq for Body {
    fn eq(&self, other: &Body) -> bool {
        self.len() == other.len() && self.0.iter().flatten().eq(other.0.iter().flatten())
    }
}

impl Eq for Body {}
