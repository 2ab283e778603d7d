//! Where an address is: country, city, position and autonomous system, from files in MaxMind's database
//! format that the user names. None is shipped. What this leaves to others: telling local addresses from
//! remote ones, and updating the files.

use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use maxminddb::{MaxMindDbError, Reader};
use serde::Deserialize;
use thiserror::Error;

/// The databases in use, each wholly in memory.
pub struct Geo {
    databases: Vec<Reader<Vec<u8>>>,
}

/// What is known of one address; borrowed from the database, so a look-up allocates nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Place<'a> {
    /// Two letters, ISO 3166.
    pub country: Option<&'a str>,
    /// English name.
    pub city: Option<&'a str>,
    /// Degrees, north positive.
    pub latitude: Option<f64>,
    /// Degrees, east positive.
    pub longitude: Option<f64>,
    /// Autonomous system number.
    pub asn: Option<u32>,
    /// Who runs it.
    pub as_name: Option<&'a str>,
}

/// Why a database cannot be used.
#[derive(Debug, Error)]
pub enum GeoError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It would take more memory than it may.
    #[error("{path} is larger than the {limit_bytes} bytes address databases may take together")]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// The limit.
        limit_bytes: usize,
    },
    /// It is not a database.
    #[error("{path} is not a MaxMind database")]
    Format {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: MaxMindDbError,
    },
}

impl Geo {
    /// Reads the databases of `paths` into memory, all together at most `limit_bytes`. Later files
    /// supply what earlier ones do not know (a country file and one of autonomous systems, say).
    pub fn open<P: AsRef<Path>>(paths: &[P], limit_bytes: usize) -> Result<Geo, GeoError> {
        let mut room = limit_bytes;
        let mut databases = Vec::with_capacity(paths.len());
        for path in paths {
            let path = path.as_ref();
            let bytes = read_at_most(path, room)?.ok_or_else(|| GeoError::TooLarge {
                path: path.to_owned(),
                limit_bytes,
            })?;
            room -= bytes.len();
            databases.push(
                Reader::from_source(bytes).map_err(|source| GeoError::Format {
                    path: path.to_owned(),
                    source,
                })?,
            );
        }
        Ok(Geo { databases })
    }

    /// What is known of `address`; all fields empty for private and unlisted ones. A damaged record
    /// counts as an unknown one.
    pub fn place(&self, address: IpAddr) -> Place<'_> {
        let mut place = Place::default();
        for database in &self.databases {
            let Ok(found) = database.lookup(address) else {
                continue; // an IPv6 address in an IPv4 database
            };
            let Ok(Some(record)) = found.decode::<Record>() else {
                continue;
            };
            let country = record.country.iso_code;
            place.country = place.country.or(country.filter(|code| code.len() == 2));
            place.city = place.city.or(record.city.names.en);
            place.latitude = place.latitude.or(record.location.latitude);
            place.longitude = place.longitude.or(record.location.longitude);
            place.asn = place.asn.or(record.autonomous_system_number);
            place.as_name = place.as_name.or(record.autonomous_system_organization);
        }
        place
    }
}

/// The bytes of `path`, or nothing if there are more than `limit`.
fn read_at_most(path: &Path, limit: usize) -> Result<Option<Vec<u8>>, GeoError> {
    let failed = |source| GeoError::Read {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    File::open(path)
        .map_err(failed)?
        .take(limit as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    bytes.shrink_to_fit();
    Ok((bytes.len() <= limit).then_some(bytes))
}

/// The part of a record that is read; what a file does not have stays empty.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Record<'a> {
    #[serde(borrow)]
    country: Country<'a>,
    #[serde(borrow)]
    city: City<'a>,
    location: Location,
    autonomous_system_number: Option<u32>,
    autonomous_system_organization: Option<&'a str>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Country<'a> {
    iso_code: Option<&'a str>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct City<'a> {
    #[serde(borrow)]
    names: Names<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Names<'a> {
    en: Option<&'a str>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Location {
    latitude: Option<f64>,
    longitude: Option<f64>,
}

#[cfg(test)]
#[path = "../tests/support/mmdb.rs"]
mod mmdb;

#[cfg(test)]
mod tests {
    use super::*;

    fn temporary(name: &str, bytes: &[u8]) -> PathBuf {
        let path = std::env::temp_dir().join(format!("flowreeve-{}-{name}", std::process::id()));
        std::fs::write(&path, bytes).expect("the temporary folder can be written");
        path
    }

    #[test]
    fn an_address_is_found_by_its_network_and_an_unlisted_one_is_not() {
        let file = temporary("places.mmdb", &mmdb::sample());
        let geo = Geo::open(&[&file], 1 << 20).expect("our own database opens");
        std::fs::remove_file(&file).expect("it was written above");

        let china = geo.place(IpAddr::from([10, 0, 0, 2]));
        let nowhere = geo.place(IpAddr::from([192, 0, 2, 1]));

        assert_eq!(china.country, Some("CN"));
        assert_eq!(china.city, Some("Beijing"));
        assert_eq!((china.latitude, china.longitude), (Some(39.9), Some(116.4)));
        assert_eq!(china.asn, Some(64_500));
        assert_eq!(nowhere, Place::default());
    }

    #[test]
    fn a_file_beyond_the_limit_is_refused_by_name() {
        let file = temporary("large.mmdb", &mmdb::sample());

        let refused = Geo::open(&[&file], 16).err();
        std::fs::remove_file(&file).expect("it was written above");

        let text = refused.expect("16 bytes are too few").to_string();
        assert!(
            text.contains("large.mmdb") && text.contains("16 bytes"),
            "{text}"
        );
    }

    #[test]
    fn a_database_cut_anywhere_is_refused_or_knows_less_and_never_panics() {
        let whole = mmdb::sample();

        for end in 0..whole.len() {
            if let Ok(reader) = Reader::from_source(whole[..end].to_vec()) {
                let geo = Geo {
                    databases: vec![reader],
                };
                let _ = geo.place(IpAddr::from([10, 0, 0, 2]));
            }
        }
    }
}
