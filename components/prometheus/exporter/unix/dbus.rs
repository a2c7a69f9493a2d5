//! As much of D-Bus as asking a service for its properties takes: calls without a body or with texts, and answers.

use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use super::conversation::{self, Conversation};

/// A connection to a bus, or to a service that speaks D-Bus itself.
pub(crate) struct Connection {
    stream: BufReader<Conversation>,
    serial: u32,
    /// Whom calls are for; a service that is asked directly needs no name.
    destination: Option<&'static str>,
    /// Why nothing more can be asked.
    over: Option<(io::ErrorKind, String)>,
}

/// A message that answers a call.
struct Answer {
    kind: u8,
    /// Whether its numbers are written from their big end.
    big: bool,
    /// The fields, and the body behind them.
    bytes: Vec<u8>,
    /// How long the fields are.
    fields: usize,
    /// The type of the body.
    signature: String,
    /// The name of what went wrong.
    error: String,
}

/// A value of an answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// A number of any width, or a truth.
    Number(u64),
    /// A text, a path or a signature.
    Text(String),
    /// Anything that has parts.
    Parts(Vec<Value>),
}

/// The largest answer: D-Bus allows twice as much.
const MOST_BYTES: usize = 64 << 20;

/// Parts within parts.
const DEEPEST: usize = 32;

/// What an answer is made of; of a unit of systemd there are ten.
const MOST_VALUES: usize = 2 << 20;

const CALL: u8 = 1;
const ANSWER: u8 = 2;
const ERROR: u8 = 3;

const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const ANSWER_TO: u8 = 5;
const DESTINATION: u8 = 6;
const SIGNATURE: u8 = 8;

/// Where the bus of the system listens.
pub(crate) fn system_bus() -> PathBuf {
    let named = std::env::var("DBUS_SYSTEM_BUS_ADDRESS").ok();
    let named = named.and_then(|address| address.strip_prefix("unix:path=").map(PathBuf::from));
    named.unwrap_or_else(|| "/var/run/dbus/system_bus_socket".into())
}

// === impl Connection ===

impl Connection {
    /// Says who we are, and hello to the bus.
    pub fn open(socket: &Path, destination: Option<&'static str>) -> io::Result<Connection> {
        let stream = Conversation::at_path(socket, conversation::TIME)?;
        let mut connection = Connection { stream: BufReader::new(stream), serial: 0, destination, over: None };
        let user: String = nix::unistd::geteuid().to_string().bytes().map(|byte| format!("{byte:02x}")).collect();
        connection.stream.get_mut().write_all(format!("\0AUTH EXTERNAL {user}\r\n").as_bytes())?;
        let answer = connection.line()?;
        if !answer.starts_with("OK ") {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("the bus answers {answer:?}")));
        }
        connection.stream.get_mut().write_all(b"BEGIN\r\n")?;
        if destination.is_some() {
            let bus = "org.freedesktop.DBus";
            connection.ask(Some(bus), "/org/freedesktop/DBus", bus, "Hello", &[])?;
        }
        Ok(connection)
    }

    /// Calls a method with texts, and waits for what it answers.
    pub fn call(&mut self, path: &str, interface: &str, member: &str, texts: &[&str]) -> io::Result<Vec<Value>> {
        self.ask(self.destination, path, interface, member, texts)
    }

    /// One property of an object.
    pub fn property(&mut self, path: &str, interface: &str, name: &str) -> io::Result<Value> {
        let mut answer = self.call(path, "org.freedesktop.DBus.Properties", "Get", &[interface, name])?;
        if answer.is_empty() { Err(io::ErrorKind::InvalidData.into()) } else { Ok(answer.swap_remove(0)) }
    }

    /// Why nothing more can be asked: the time is over, or the other side has gone.
    pub fn over(&self) -> Option<io::Error> {
        self.over.as_ref().map(|(kind, why)| io::Error::new(*kind, why.as_str()))
    }

    fn ask(
        &mut self,
        destination: Option<&str>,
        path: &str,
        interface: &str,
        member: &str,
        texts: &[&str],
    ) -> io::Result<Vec<Value>> {
        if let Some(error) = self.over() {
            return Err(error);
        }
        let answer = self.send(destination, path, interface, member, texts).and_then(|()| self.answer());
        if let Err(error) = &answer {
            self.over = Some((error.kind(), error.to_string()));
        }
        answer?.read()
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") && line.len() < 512 {
            let mut byte = [0];
            self.stream.read_exact(&mut byte)?;
            line.push(byte[0]);
        }
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    fn send(
        &mut self,
        destination: Option<&str>,
        path: &str,
        interface: &str,
        member: &str,
        texts: &[&str],
    ) -> io::Result<()> {
        self.serial += 1;
        let mut body = Message::default();
        texts.iter().for_each(|text| body.text(text));
        let mut head = Message(vec![b'l', CALL, 0, 1]);
        head.word(body.0.len() as u32);
        head.word(self.serial);
        let mut fields = Message::default();
        fields.field(PATH, "o", path);
        fields.field(INTERFACE, "s", interface);
        fields.field(MEMBER, "s", member);
        if let Some(destination) = destination {
            fields.field(DESTINATION, "s", destination);
        }
        if !texts.is_empty() {
            fields.field(SIGNATURE, "g", &"s".repeat(texts.len()));
        }
        head.word(fields.0.len() as u32);
        head.0.extend_from_slice(&fields.0);
        head.align(8);
        head.0.extend_from_slice(&body.0);
        self.stream.get_mut().write_all(&head.0)
    }

    /// The answer to the last call; what else comes is not for us.
    fn answer(&mut self) -> io::Result<Answer> {
        loop {
            let mut head = [0; 16];
            self.stream.read_exact(&mut head)?;
            let big = match head[0] {
                b'l' => false,
                b'B' => true,
                _ => return Err(invalid("a message of no byte order")),
            };
            let word = |at: usize| {
                let bytes = std::array::from_fn(|offset| head[at + offset]);
                (if big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }) as usize
            };
            let (fields, body) = (word(12), word(4));
            let length = fields.next_multiple_of(8).saturating_add(body);
            if length > MOST_BYTES {
                return Err(invalid("a message that is too large"));
            }
            let mut bytes = vec![0; length];
            self.stream.read_exact(&mut bytes)?;
            let mut answer =
                Answer { kind: head[1], big, bytes, fields, signature: String::new(), error: String::new() };
            let to = answer.address()?;
            if to == u64::from(self.serial) && [ANSWER, ERROR].contains(&answer.kind) {
                return Ok(answer);
            }
        }
    }
}

// === impl Answer ===

impl Answer {
    /// Which call it is for; reads the fields.
    fn address(&mut self) -> io::Result<u64> {
        let mut reader = Reader::new(&self.bytes[..self.fields], self.big);
        let mut to = 0;
        while reader.at < self.fields {
            reader.align(8);
            let code = reader.byte()?;
            match (code, reader.variant()?) {
                (SIGNATURE, Value::Text(text)) => self.signature = text,
                (ERROR_NAME, Value::Text(text)) => self.error = text,
                (ANSWER_TO, Value::Number(serial)) => to = serial,
                _ => {}
            }
        }
        Ok(to)
    }

    /// What it holds, or what it refuses.
    fn read(self) -> io::Result<Vec<Value>> {
        let values = Reader::new(&self.bytes[self.fields.next_multiple_of(8)..], self.big).values(&self.signature)?;
        match (self.kind, values.first()) {
            (ERROR, Some(Value::Text(text))) => Err(io::Error::other(format!("{}: {text}", self.error))),
            (ERROR, _) => Err(io::Error::other(self.error)),
            _ => Ok(values),
        }
    }
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

// === impl Value ===

impl Value {
    /// Its number, if it is one.
    pub fn number(&self) -> Option<u64> {
        if let Value::Number(number) = self { Some(*number) } else { None }
    }

    /// Its text, if it is one.
    pub fn text(&self) -> Option<&str> {
        if let Value::Text(text) = self { Some(text) } else { None }
    }

    /// Its parts, if it has some.
    pub fn parts(&self) -> &[Value] {
        if let Value::Parts(parts) = self { parts } else { &[] }
    }
}

// === writing ===

#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn align(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    fn word(&mut self, word: u32) {
        self.align(4);
        self.0.extend_from_slice(&word.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.word(text.len() as u32);
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(0);
    }

    /// A field of the head: its number, and a value with its type.
    fn field(&mut self, code: u8, kind: &str, value: &str) {
        self.align(8);
        self.0.extend_from_slice(&[code, 1, kind.as_bytes()[0], 0]);
        if kind == "g" {
            self.0.push(value.len() as u8);
            self.0.extend_from_slice(value.as_bytes());
            self.0.push(0);
        } else {
            self.text(value);
        }
    }
}

// === reading ===

struct Reader<'m> {
    bytes: &'m [u8],
    at: usize,
    big: bool,
    depth: usize,
    /// How many values there were.
    values: usize,
}

impl<'m> Reader<'m> {
    fn new(bytes: &'m [u8], big: bool) -> Reader<'m> {
        Reader { bytes, at: 0, big, depth: 0, values: 0 }
    }

    fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn byte(&mut self) -> io::Result<u8> {
        let byte = self.bytes.get(self.at).copied().ok_or_else(|| invalid("a message that is cut"))?;
        self.at += 1;
        Ok(byte)
    }

    fn unsigned(&mut self, width: usize) -> io::Result<u64> {
        self.align(width);
        let mut number = 0;
        for at in 0..width {
            let byte = u64::from(self.byte()?);
            number |= byte << (8 * if self.big { width - 1 - at } else { at });
        }
        Ok(number)
    }

    fn slice(&mut self, length: usize) -> io::Result<String> {
        let end = self.at.checked_add(length).ok_or_else(|| invalid("a text that is too long"))?;
        let text = self.bytes.get(self.at..end).ok_or_else(|| invalid("a text that is cut"))?;
        let text = String::from_utf8_lossy(text).into_owned();
        self.at = end + 1;
        Ok(text)
    }

    fn variant(&mut self) -> io::Result<Value> {
        let length = usize::from(self.byte()?);
        let signature = self.slice(length)?;
        let mut values = self.values(&signature)?;
        if values.len() == 1 { Ok(values.swap_remove(0)) } else { Err(invalid("a variant that is not one value")) }
    }

    fn values(&mut self, signature: &str) -> io::Result<Vec<Value>> {
        let mut rest = signature;
        let mut values = Vec::new();
        while !rest.is_empty() {
            let (one, after) = rest.split_at(one_type(rest).ok_or_else(|| invalid("a type that does not exist"))?);
            values.push(self.value(one)?);
            rest = after;
        }
        Ok(values)
    }

    fn value(&mut self, kind: &str) -> io::Result<Value> {
        self.depth += 1;
        self.values += 1;
        if self.depth > DEEPEST {
            return Err(invalid("parts within parts without end"));
        }
        if self.values > MOST_VALUES {
            return Err(invalid("an answer of too many parts"));
        }
        let value = match kind.as_bytes()[0] {
            b'y' => Value::Number(self.byte()?.into()),
            b'n' | b'q' => Value::Number(self.unsigned(2)?),
            b'b' | b'i' | b'u' | b'h' => Value::Number(self.unsigned(4)?),
            b'x' | b't' | b'd' => Value::Number(self.unsigned(8)?),
            b's' | b'o' => {
                let length = self.unsigned(4)? as usize;
                Value::Text(self.slice(length)?)
            }
            b'g' => {
                let length = usize::from(self.byte()?);
                Value::Text(self.slice(length)?)
            }
            b'v' => self.variant()?,
            b'a' => {
                let length = self.unsigned(4)? as usize;
                let inner = &kind[1..];
                self.align(match inner.as_bytes()[0] {
                    b'(' | b'{' | b'x' | b't' | b'd' => 8,
                    b'y' | b'g' | b'v' => 1,
                    b'n' | b'q' => 2,
                    _ => 4,
                });
                let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len());
                let end = end.ok_or_else(|| invalid("a list that is cut"))?;
                let mut parts = Vec::new();
                while self.at < end {
                    parts.push(self.value(inner)?);
                }
                Value::Parts(parts)
            }
            _ => {
                self.align(8);
                Value::Parts(self.values(&kind[1..kind.len() - 1])?)
            }
        };
        self.depth -= 1;
        Ok(value)
    }
}

/// How long the first type of a signature is.
fn one_type(signature: &str) -> Option<usize> {
    let bytes = signature.as_bytes();
    match bytes.first()? {
        b'a' => Some(1 + one_type(signature.get(1..)?)?),
        open @ (b'(' | b'{') => {
            let close = if *open == b'(' { b')' } else { b'}' };
            let mut at = 1;
            while *bytes.get(at)? != close {
                at += one_type(signature.get(at..)?)?;
            }
            (at > 1).then_some(at + 1)
        }
        b'y' | b'n' | b'q' | b'b' | b'i' | b'u' | b'h' | b'x' | b't' | b'd' | b's' | b'o' | b'g' | b'v' => Some(1),
        _ => None,
    }
}

/// A service that answers calls, for tests.
#[cfg(test)]
pub(crate) mod fake {
    use std::os::unix::net::UnixListener;
    use std::thread::JoinHandle;

    use super::*;

    /// The type of an answer and its values, or an error.
    pub(crate) type Answer = Result<(&'static str, Vec<Value>), &'static str>;

    /// The error that is not answered: the service goes away instead.
    pub(crate) const GOES_AWAY: &str = "goes away";

    /// Takes one connection, and answers calls until it ends; `answer` gets the path, the member and the last text.
    pub(crate) fn serve(socket: &Path, answer: impl Fn(&str, &str, &str) -> Answer + Send + 'static) -> JoinHandle<()> {
        let listener = UnixListener::bind(socket).unwrap();
        std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let stream = Conversation::over(stream, conversation::TIME);
            let mut peer = Connection { stream: BufReader::new(stream), serial: 0, destination: None, over: None };
            assert!(peer.line().unwrap().starts_with("\0AUTH EXTERNAL "));
            peer.stream.get_mut().write_all(b"OK 0123\r\n").unwrap();
            assert_eq!(peer.line().unwrap(), "BEGIN");
            let mut head = [0; 16];
            while peer.stream.read_exact(&mut head).is_ok() {
                let word = |at: usize| u32::from_le_bytes(std::array::from_fn(|offset| head[at + offset]));
                let (body, serial, fields) = (word(4) as usize, word(8), word(12) as usize);
                let mut rest = vec![0; fields.next_multiple_of(8) + body];
                peer.stream.read_exact(&mut rest).unwrap();
                let mut reader = Reader::new(&rest[..fields], false);
                let (mut path, mut member, mut signature) = (String::new(), String::new(), String::new());
                while reader.at < fields {
                    reader.align(8);
                    let code = reader.byte().unwrap();
                    let Value::Text(text) = reader.variant().unwrap() else { continue };
                    match code {
                        PATH => path = text,
                        MEMBER => member = text,
                        SIGNATURE => signature = text,
                        _ => {}
                    }
                }
                let mut reader = Reader::new(&rest[fields.next_multiple_of(8)..], false);
                let texts = reader.values(&signature).unwrap();
                let last = texts.last().and_then(Value::text).unwrap_or_default();
                let answer = answer(&path, &member, last);
                if answer == Err(GOES_AWAY) {
                    return;
                }
                let bytes = message(serial, answer);
                peer.stream.get_mut().write_all(&bytes).unwrap();
            }
        })
    }

    fn message(serial: u32, answer: Answer) -> Vec<u8> {
        let (kind, signature, values) = match answer {
            Ok((signature, values)) => (ANSWER, signature, values),
            Err(text) => (ERROR, "s", vec![Value::Text(text.to_owned())]),
        };
        let mut body = Message::default();
        for value in &values {
            write(value, signature, &mut body);
        }
        let mut fields = Message::default();
        fields.align(8);
        fields.0.extend_from_slice(&[ANSWER_TO, 1, b'u', 0]);
        fields.word(serial);
        fields.field(SIGNATURE, "g", signature);
        let mut message = Message(vec![b'l', kind, 0, 1]);
        message.word(body.0.len() as u32);
        message.word(1);
        message.word(fields.0.len() as u32);
        message.0.extend_from_slice(&fields.0);
        message.align(8);
        message.0.extend_from_slice(&body.0);
        message.0
    }

    fn write(value: &Value, kind: &str, to: &mut Message) {
        match (value, kind.as_bytes()[0]) {
            (Value::Text(text), b'v') => {
                to.0.extend_from_slice(&[1, b's', 0]);
                to.text(text);
            }
            (Value::Number(number), b'v') => {
                to.0.extend_from_slice(&[1, b't', 0]);
                to.align(8);
                to.0.extend_from_slice(&number.to_le_bytes());
            }
            (Value::Text(text), _) => to.text(text),
            (Value::Parts(parts), b'a') => {
                to.word(0);
                let length_at = to.0.len() - 4;
                to.align(8);
                let start = to.0.len();
                parts.iter().for_each(|part| write(part, &kind[1..], to));
                let length = (to.0.len() - start) as u32;
                to.0[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
            }
            (Value::Parts(parts), _) => {
                to.align(8);
                parts.iter().for_each(|part| write(part, "s", to));
            }
            (Value::Number(number), _) => to.word(*number as u32),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_told_apart() {
        for (signature, length) in [("s", Some(1)), ("a(ss)u", Some(5)), ("a{sv}", Some(5)), ("(s(uu)x)s", Some(8))] {
            assert_eq!(one_type(signature), length, "{signature}");
        }
        for signature in ["", "a", "(s", "()", "z", "a{s"] {
            assert_eq!(one_type(signature), None, "{signature}");
        }
    }

    #[test]
    fn values_are_read_in_either_byte_order() {
        // An array of one struct of a text and a number.
        let little = [12, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, b'h', b'i', 0, 0, 7, 0, 0, 0];
        let mut reader = Reader::new(&little, false);
        let expected = Value::Parts(vec![Value::Parts(vec![Value::Text("hi".to_owned()), Value::Number(7)])]);
        assert_eq!(reader.values("a(su)").unwrap(), [expected]);
        let big = [0, 0, 1, 2];
        assert_eq!(Reader::new(&big, true).values("u").unwrap(), [Value::Number(258)]);
    }

    #[test]
    fn what_is_refused_is_no_end_and_who_goes_away_is_asked_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("bus");
        let served = fake::serve(&socket, |_, member, _| match member {
            "Good" => Ok(("s", vec![Value::Text("yes".to_owned())])),
            "Bad" => Err("no such method"),
            _ => Err(fake::GOES_AWAY),
        });
        let mut connection = Connection::open(&socket, None).unwrap();
        assert!(connection.call("/", "i", "Bad", &[]).unwrap_err().to_string().ends_with("no such method"));
        assert!(connection.over().is_none());
        assert_eq!(connection.call("/", "i", "Good", &[]).unwrap(), [Value::Text("yes".to_owned())]);
        let gone = connection.call("/", "i", "Last", &[]).unwrap_err();
        served.join().unwrap();
        assert_eq!(connection.over().unwrap().to_string(), gone.to_string());
        assert_eq!(connection.call("/", "i", "Good", &[]).unwrap_err().kind(), gone.kind());
    }

    #[test]
    fn an_answer_has_no_more_parts_than_fit() {
        let mut bytes = (MOST_VALUES as u32).to_le_bytes().to_vec();
        bytes.resize(bytes.len() + MOST_VALUES, 0);
        let error = Reader::new(&bytes, false).values("ay").unwrap_err();
        assert!(error.to_string().contains("too many parts"), "{error}");
    }

    #[test]
    fn garbage_is_refused() {
        for (signature, bytes) in
            [("s", &[255, 255, 255, 255][..]), ("as", &[9, 0, 0, 0]), ("v", &[1, b'z', 0]), ("t", &[1])]
        {
            assert!(Reader::new(bytes, false).values(signature).is_err(), "{signature}");
        }
        let nested = "v".repeat(64);
        let endless: Vec<u8> = [1, b'v', 0].repeat(64);
        assert!(Reader::new(&endless, false).values(&nested[..1]).is_err());
    }
}
