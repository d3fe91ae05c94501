//! Changes bytes as somebody would who knows what protobuf looks like: fields left out, doubled, exchanged, numbers at the
//! edges of their ranges, lengths that lie; and now and then any byte.

use conclave_model::Rng;

/// One field of a message.
#[derive(Debug, Clone)]
struct Field {
    number: u64,
    value: Value,
}

#[derive(Debug, Clone)]
enum Value {
    Varint(u64),
    Fixed32([u8; 4]),
    Fixed64([u8; 8]),
    Bytes(Vec<u8>),
}

/// Numbers at which something begins or ends.
#[must_use]
pub fn interesting(rng: &mut Rng) -> u64 {
    const NUMBERS: &[u64] = &[
        0,
        1,
        2,
        3,
        16,
        64,
        65,
        127,
        128,
        512,
        513,
        1_023,
        1_024,
        1_025,
        4_096,
        4_097,
        65_535,
        65_536,
        65_537,
        600_000,
        600_001,
        604_800_000,
        604_800_001,
        0x7fff_ffff,
        0x8000_0000,
        0xffff_ffff,
        0x1_0000_0000,
        0x7fff_ffff_ffff_ffff,
        0x8000_0000_0000_0000,
        u64::MAX - 1,
        u64::MAX,
    ];
    *rng.pick(NUMBERS).expect("some")
}

/// A message much like this one.
#[must_use]
pub fn mutate(message: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut changed = message.to_vec();
    for _ in 0..1 + rng.below(3) {
        changed = match fields(&changed) {
            Some(found) if !found.is_empty() && rng.chance(85) => by_field(found, rng),
            Some(_) | None => by_byte(changed, rng),
        };
    }
    if rng.chance(5) {
        changed.truncate(rng.index(changed.len() + 1));
    }
    changed
}

fn by_field(mut found: Vec<Field>, rng: &mut Rng) -> Vec<u8> {
    let at = rng.index(found.len());
    match rng.below(10) {
        0 => drop(found.remove(at)),
        1 => found.insert(at, found[at].clone()),
        2 => {
            let other = rng.index(found.len());
            found.swap(at, other);
        }
        3 => found[at].number = 1 + rng.below(20),
        4 => {
            let value = found[rng.index(found.len())].value.clone();
            found[at].value = value;
        }
        _ => change(&mut found[at].value, rng),
    }
    let mut out = Vec::new();
    found.iter().for_each(|field| write(field, &mut out));
    out
}

fn change(value: &mut Value, rng: &mut Rng) {
    match value {
        Value::Varint(number) => {
            *number = match rng.below(4) {
                0 => number.wrapping_add(1),
                1 => number.wrapping_sub(1),
                2 => rng.below(16),
                _ => interesting(rng),
            }
        }
        Value::Fixed32(bytes) => bytes[rng.index(4)] ^= 1 << rng.below(8),
        Value::Fixed64(bytes) => bytes[rng.index(8)] ^= 1 << rng.below(8),
        Value::Bytes(bytes) => {
            let is_message = fields(bytes).is_some_and(|inner| !inner.is_empty());
            *bytes = match rng.below(10) {
                _ if is_message && rng.chance(85) => mutate(bytes, rng),
                0 => Vec::new(),
                // Longer than a limit, with what may or may not be text.
                1 => {
                    let len = interesting(rng).min(70_000);
                    vec![*rng.pick(b"a\0\xff/").expect("some"); usize::try_from(len).expect("few")]
                }
                _ => by_byte(bytes.clone(), rng),
            };
        }
    }
}

fn by_byte(mut bytes: Vec<u8>, rng: &mut Rng) -> Vec<u8> {
    let at = rng.index(bytes.len() + 1);
    // Mostly what leaves a text a text.
    let values = if rng.chance(70) { 128 } else { 256 };
    let byte = u8::try_from(rng.below(values)).expect("a byte");
    match rng.below(4) {
        0 => bytes.insert(at, byte),
        1 => bytes.truncate(at),
        2 if at < bytes.len() => drop(bytes.remove(at)),
        _ if at < bytes.len() => bytes[at] ^= byte.max(1),
        _ => bytes.push(byte),
    }
    bytes
}

/// None: not a message, as far as its outside goes.
fn fields(mut bytes: &[u8]) -> Option<Vec<Field>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let value = match key & 7 {
            0 => Value::Varint(varint(&mut bytes)?),
            1 => Value::Fixed64(take(&mut bytes, 8)?.try_into().ok()?),
            2 => {
                let len = usize::try_from(varint(&mut bytes)?).ok()?;
                Value::Bytes(take(&mut bytes, len)?.to_vec())
            }
            5 => Value::Fixed32(take(&mut bytes, 4)?.try_into().ok()?),
            _ => return None,
        };
        found.push(Field { number: key >> 3, value });
    }
    Some(found)
}

fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (part, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(part)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = *take(bytes, 1)?.first()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn write(field: &Field, out: &mut Vec<u8>) {
    let kind = match field.value {
        Value::Varint(_) => 0,
        Value::Fixed64(_) => 1,
        Value::Bytes(_) => 2,
        Value::Fixed32(_) => 5,
    };
    write_varint(field.number << 3 | kind, out);
    match &field.value {
        Value::Varint(number) => write_varint(*number, out),
        Value::Fixed32(bytes) => out.extend(bytes),
        Value::Fixed64(bytes) => out.extend(bytes),
        Value::Bytes(bytes) => {
            write_varint(bytes.len() as u64, out);
            out.extend(bytes);
        }
    }
}

fn write_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}
