//! Writes a database of countries in MaxMind's format (version 2.0, IPv6 tree, 24-bit records), for tests.
//! Reference: the public "MaxMind DB File Format Specification".
//!
//! Every record is its own data item. IPv4 networks live below ::/96, as the format has it.

use std::net::IpAddr;

/// The file for `networks` (address, prefix length, country), none within another.
pub fn database(networks: &[(IpAddr, u8, &str)]) -> Vec<u8> {
    let mut tree = Tree::default();
    let mut data = Vec::new();
    for (address, bits, country) in networks {
        let (address, bits) = match address {
            IpAddr::V4(v4) => (u128::from(u32::from(*v4)), 96 + bits),
            IpAddr::V6(v6) => (u128::from(*v6), *bits),
        };
        tree.put(address, bits, data.len());
        map(&mut data, 1);
        text(&mut data, "country");
        map(&mut data, 1);
        text(&mut data, "iso_code");
        text(&mut data, country);
    }
    let mut file = tree.bytes();
    file.extend_from_slice(&[0; 16]);
    file.extend_from_slice(&data);
    file.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
    let shorts = [
        ("binary_format_major_version", 2u16),
        ("binary_format_minor_version", 0),
        ("ip_version", 6),
        ("record_size", 24),
    ];
    map(&mut file, shorts.len() + 5);
    for (key, value) in shorts {
        text(&mut file, key);
        head(&mut file, 5, 2);
        file.extend_from_slice(&value.to_be_bytes());
    }
    text(&mut file, "node_count");
    head(&mut file, 6, 4);
    file.extend_from_slice(&(tree.nodes.len() as u32).to_be_bytes());
    text(&mut file, "build_epoch");
    file.extend_from_slice(&[8, 2]); // a number of eight bytes: types beyond 7 stand in a byte of their own
    file.extend_from_slice(&1_600_000_000u64.to_be_bytes());
    text(&mut file, "database_type");
    text(&mut file, "Flowreeve-Test");
    text(&mut file, "description");
    map(&mut file, 0);
    text(&mut file, "languages");
    file.extend_from_slice(&[0, 4]); // an array without elements
    file
}

#[derive(Clone, Copy)]
enum Side {
    Nothing,
    Node(usize),
    Data(usize),
}

struct Tree {
    nodes: Vec<[Side; 2]>,
}

impl Default for Tree {
    fn default() -> Self {
        Tree {
            nodes: vec![[Side::Nothing; 2]],
        }
    }
}

impl Tree {
    fn put(&mut self, address: u128, bits: u8, data: usize) {
        let mut node = 0;
        for depth in 0..bits {
            let side = (address >> (127 - depth) & 1) as usize;
            if depth + 1 == bits {
                self.nodes[node][side] = Side::Data(data);
            } else if let Side::Node(next) = self.nodes[node][side] {
                node = next;
            } else {
                let next = self.nodes.len();
                self.nodes.push([Side::Nothing; 2]);
                self.nodes[node][side] = Side::Node(next);
                node = next;
            }
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let count = self.nodes.len();
        let record = |side: &Side| match side {
            Side::Nothing => count,
            Side::Node(node) => *node,
            Side::Data(offset) => count + 16 + offset,
        };
        let records = self.nodes.iter().flatten().map(record);
        records
            .flat_map(|record| (record as u32).to_be_bytes().into_iter().skip(1))
            .collect()
    }
}

fn map(out: &mut Vec<u8>, entries: usize) {
    head(out, 7, entries);
}

fn text(out: &mut Vec<u8>, value: &str) {
    head(out, 2, value.len());
    out.extend_from_slice(value.as_bytes());
}

/// Control byte: three bits of type, five of size.
fn head(out: &mut Vec<u8>, kind: u8, size: usize) {
    assert!(size < 29, "a test's values are short");
    out.push(kind << 5 | size as u8);
}
