//! Writes small databases in MaxMind's format (version 2.0, 24-bit records, IPv4), for tests only.

/// A value of a record.
pub enum Field {
    /// UTF-8, at most 284 bytes.
    Text(&'static str),
    /// Unsigned 16 bit.
    Short(u16),
    /// Unsigned 32 bit.
    Number(u32),
    /// Unsigned 64 bit.
    Long(u64),
    /// Double.
    Float(f64),
    /// At most 284 entries.
    Map(Vec<(&'static str, Field)>),
}

use Field::{Float, Long, Map, Number, Short, Text};

/// 10.0.0.0/8 is in Beijing, 203.0.113.0/24 in Paris; the rest of the world is unknown.
pub fn sample() -> Vec<u8> {
    let place = |country, city, latitude, longitude, asn| {
        Map(vec![
            ("country", Map(vec![("iso_code", Text(country))])),
            ("city", Map(vec![("names", Map(vec![("en", Text(city))]))])),
            (
                "location",
                Map(vec![
                    ("latitude", Float(latitude)),
                    ("longitude", Float(longitude)),
                ]),
            ),
            ("autonomous_system_number", Number(asn)),
            ("autonomous_system_organization", Text("Example Net")),
        ])
    };
    database(&[
        (
            [10, 0, 0, 0],
            8,
            place("CN", "Beijing", 39.9, 116.4, 64_500),
        ),
        (
            [203, 0, 113, 0],
            24,
            place("FR", "Paris", 48.9, 2.4, 64_501),
        ),
    ])
}

/// The file for `networks` (address, prefix length, record), none within another.
pub fn database(networks: &[([u8; 4], u8, Field)]) -> Vec<u8> {
    let mut data = Vec::new();
    let mut nodes: Vec<[Option<Target>; 2]> = vec![[None, None]];
    for (address, bits, record) in networks {
        let offset = data.len();
        write(&mut data, record);
        let address = u32::from_be_bytes(*address);
        let mut node = 0;
        for depth in 0..*bits {
            let side = (address >> (31 - depth) & 1) as usize;
            if depth + 1 == *bits {
                nodes[node][side] = Some(Target::Data(offset));
            } else if let Some(Target::Node(next)) = nodes[node][side] {
                node = next;
            } else {
                nodes.push([None, None]);
                let next = nodes.len() - 1;
                nodes[node][side] = Some(Target::Node(next));
                node = next;
            }
        }
    }

    let count = nodes.len();
    let mut file = Vec::new();
    for side in nodes.iter().flatten() {
        let record = match side {
            None => count,
            Some(Target::Node(next)) => *next,
            Some(Target::Data(offset)) => count + 16 + offset,
        };
        file.extend_from_slice(&(record as u32).to_be_bytes()[1..]);
    }
    file.extend_from_slice(&[0; 16]);
    file.extend_from_slice(&data);
    file.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
    write(
        &mut file,
        &Map(vec![
            ("binary_format_major_version", Short(2)),
            ("binary_format_minor_version", Short(0)),
            ("build_epoch", Long(1_600_000_000)),
            ("database_type", Text("Flowreeve-Test")),
            ("description", Map(vec![("en", Text("made by a test"))])),
            ("ip_version", Short(4)),
            ("languages", Map(vec![])),
            ("node_count", Number(count as u32)),
            ("record_size", Short(24)),
        ]),
    );
    file
}

enum Target {
    Node(usize),
    Data(usize),
}

/// One value: a control byte (three bits of type, five of size), then the payload.
fn write(out: &mut Vec<u8>, field: &Field) {
    match field {
        Text(text) => {
            head(out, 2, text.len());
            out.extend_from_slice(text.as_bytes());
        }
        Float(value) => {
            out.push(3 << 5 | 8);
            out.extend_from_slice(&value.to_be_bytes());
        }
        Short(value) => {
            out.push(5 << 5 | 2);
            out.extend_from_slice(&value.to_be_bytes());
        }
        Long(value) => {
            out.extend_from_slice(&[8, 2]); // an extended type: 7 more than its second byte
            out.extend_from_slice(&value.to_be_bytes());
        }
        Number(value) => {
            out.push(6 << 5 | 4);
            out.extend_from_slice(&value.to_be_bytes());
        }
        Map(entries) if entries.is_empty() => out.extend_from_slice(&[0, 4]), // an empty array
        Map(entries) => {
            head(out, 7, entries.len());
            for (key, value) in entries {
                write(out, &Text(key));
                write(out, value);
            }
        }
    }
}

/// Control byte; from 29 on the size goes on in a byte of its own.
fn head(out: &mut Vec<u8>, kind: u8, size: usize) {
    match u8::try_from(size.saturating_sub(29)).expect("a test's values are short") {
        0 if size < 29 => out.push(kind << 5 | size as u8),
        rest => out.extend_from_slice(&[kind << 5 | 29, rest]),
    }
}
