//! Just enough protobuf to count what arrived and to make what is sent.

/// The length-delimited fields numbered `wanted` of a message; damaged bytes end the walk.
pub fn fields(message: &[u8], wanted: u64) -> impl Iterator<Item = &[u8]> {
    let mut rest = message;
    std::iter::from_fn(move || {
        loop {
            let key = varint(&mut rest)?;
            let body: &[u8] = match key & 7 {
                0 => {
                    varint(&mut rest)?;
                    continue;
                }
                1 => {
                    rest = rest.get(8..)?;
                    continue;
                }
                5 => {
                    rest = rest.get(4..)?;
                    continue;
                }
                2 => {
                    let length = varint(&mut rest)? as usize;
                    let body = rest.get(..length)?;
                    rest = &rest[length..];
                    body
                }
                _ => return None,
            };
            if key >> 3 == wanted {
                return Some(body);
            }
        }
    })
}

/// The varint at the start of these bytes.
pub fn number(mut bytes: &[u8]) -> Option<u64> {
    varint(&mut bytes)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Appends `number: body` as a length-delimited field.
pub fn put_bytes(out: &mut Vec<u8>, number: u32, body: &[u8]) {
    put_varint(out, u64::from(number << 3 | 2));
    put_varint(out, body.len() as u64);
    out.extend_from_slice(body);
}

/// Appends `number: value` as a varint field.
pub fn put_number(out: &mut Vec<u8>, number: u32, value: u64) {
    put_varint(out, u64::from(number << 3));
    put_varint(out, value);
}

/// Appends `number: value` as a fixed 64-bit field.
pub fn put_fixed64(out: &mut Vec<u8>, number: u32, value: u64) {
    put_varint(out, u64::from(number << 3 | 1));
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
