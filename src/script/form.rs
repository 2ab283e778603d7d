//! How a script is configured, and whether a configuration is one its form could have given.

use serde_json::{Map, Value, json};

use crate::l7::{Category, Proto};

/// Most entries of a list in one script's configuration.
pub const MAX_ITEMS: usize = 4096;
/// Longest entry of such a list, bytes.
const MAX_ITEM_BYTES: usize = 255;

/// How a script is configured: `gui.input_builder` with what it needs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Form {
    /// `items_list`, `elephant_flows`, `long_lived`, `multi_select`, `threshold_cross`, `flow_mud`; empty for
    /// an enable switch alone.
    pub input_builder: String,
    /// What the items of a list are; empty or unknown: anything.
    pub item_list_type: String,
    /// Bounds of a number.
    pub field_min: Option<f64>,
    /// Bounds of a number.
    pub field_max: Option<f64>,
}

impl Form {
    /// Checks `conf` as the form of this kind would be checked, and gives it back with items cleaned
    /// (trimmed, duplicates dropped). The error says what is wrong with which value.
    pub fn validate(&self, conf: &Value) -> Result<Value, String> {
        let mut conf = match conf {
            Value::Array(list) if list.is_empty() => Value::Object(Map::new()),
            Value::Object(_) => conf.clone(),
            _ => return Err("script_conf is not an object".into()),
        };
        match self.input_builder.as_str() {
            "items_list" => self.items(&mut conf)?,
            "elephant_flows" => {
                number(&conf, "l2r_bytes_value")?;
                number(&conf, "r2l_bytes_value")?;
                self.items(&mut conf)?;
            }
            "long_lived" => {
                number(&conf, "min_duration")?;
                self.items(&mut conf)?;
            }
            "multi_select" => self.items(&mut conf)?,
            "threshold_cross" => {
                let operator = conf
                    .get("operator")
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                if !matches!(operator, "gt" | "lt" | "eq") {
                    return Err(format!("operator is \"{operator}\", not gt or lt"));
                }
                let threshold = number(&conf, "threshold")?;
                if self.field_min.is_some_and(|min| threshold < min)
                    || self.field_max.is_some_and(|max| threshold > max)
                {
                    return Err(format!("threshold {threshold} is out of its bounds"));
                }
            }
            _ => {}
        }
        Ok(conf)
    }

    fn items(&self, conf: &mut Value) -> Result<(), String> {
        let given = match conf.get("items") {
            None => Vec::new(),
            Some(Value::Array(list)) => list.clone(),
            Some(Value::Object(map)) if map.is_empty() => Vec::new(),
            Some(_) => return Err("items is not a list".into()),
        };
        if given.len() > MAX_ITEMS {
            return Err(format!(
                "items has {} entries, more than {MAX_ITEMS}",
                given.len()
            ));
        }
        let mut items: Vec<String> = Vec::with_capacity(given.len());
        let mut seen = std::collections::HashSet::new();
        for item in given {
            let text = match item {
                Value::String(text) => text.trim().to_owned(),
                Value::Number(number) => number.to_string(),
                other => return Err(format!("item {other} is not a text")),
            };
            if text.is_empty() {
                continue;
            }
            if text.len() > MAX_ITEM_BYTES || !self.item_is_valid(&text) {
                return Err(format!("\"{text}\" is not a valid {}", self.item_kind()));
            }
            if seen.insert(text.clone()) {
                items.push(text);
            }
        }
        conf["items"] = json!(items);
        Ok(())
    }

    fn item_kind(&self) -> &str {
        match self.item_list_type.as_str() {
            "" => "item",
            "proto_or_category" => "protocol or category",
            kind => kind,
        }
    }

    fn item_is_valid(&self, item: &str) -> bool {
        match self.item_list_type.as_str() {
            "country" => item.len() == 2 && item.bytes().all(|b| b.is_ascii_alphabetic()),
            "proto_or_category" => {
                Proto::by_name(item).is_some() || Category::by_name(item).is_some()
            }
            "string" => !item.contains(char::is_whitespace),
            "device_type" => DEVICE_TYPES.contains(&item),
            "ip_address" => item.parse::<std::net::IpAddr>().is_ok(),
            "mac_address" => is_mac(item),
            _ => true,
        }
    }
}

/// Device types by name; the position is the number.
pub const DEVICE_TYPES: [&str; 13] = [
    "unknown",
    "printer",
    "video",
    "workstation",
    "laptop",
    "tablet",
    "phone",
    "tv",
    "networking",
    "wifi",
    "nas",
    "multimedia",
    "iot",
];

/// `aa:bb:cc:dd:ee:ff`, with `@vlan` or without.
fn is_mac(text: &str) -> bool {
    let (mac, vlan) = text.split_once('@').unwrap_or((text, "0"));
    let octets = mac.split(':');
    vlan.parse::<u16>().is_ok()
        && octets.clone().count() == 6
        && octets
            .into_iter()
            .all(|o| o.len() == 2 && o.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn number(conf: &Value, key: &str) -> Result<f64, String> {
    let value = conf.get(key).unwrap_or(&Value::Null);
    value
        .as_f64()
        .or_else(|| value.as_str().and_then(|text| text.parse().ok()))
        .filter(|n: &f64| n.is_finite())
        .ok_or_else(|| format!("{key} is {value}, not a number"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test that cannot go on shall stop
mod tests {
    use super::*;

    #[test]
    fn forms_are_checked_by_kind() {
        let form = |builder: &str, kind: &str| Form {
            input_builder: builder.into(),
            item_list_type: kind.into(),
            ..Form::default()
        };
        let items = |list: Value| json!({ "items": list });

        for (form, conf, good) in [
            (
                form("items_list", "ip_address"),
                items(json!(["10.0.0.1", "::1"])),
                true,
            ),
            (
                form("items_list", "ip_address"),
                items(json!(["10.0.0.999"])),
                false,
            ),
            (form("items_list", "country"), items(json!(["IT"])), true),
            (
                form("items_list", "country"),
                items(json!(["Italy"])),
                false,
            ),
            (
                form("items_list", "string"),
                items(json!(["two words"])),
                false,
            ),
            (
                form("items_list", "mac_address"),
                items(json!(["02:00:00:00:00:01@7"])),
                true,
            ),
            (
                form("items_list", "mac_address"),
                items(json!(["02:00"])),
                false,
            ),
            (
                form("items_list", "proto_or_category"),
                items(json!(["dns", "Mining"])),
                true,
            ),
            (
                form("items_list", "proto_or_category"),
                items(json!(["nosuch"])),
                false,
            ),
            (
                form("items_list", "device_type"),
                items(json!(["printer"])),
                true,
            ),
            (form("items_list", "other"), items(json!("text")), false),
            (
                form("long_lived", ""),
                json!({"min_duration": 60, "items": []}),
                true,
            ),
            (form("long_lived", ""), json!({"min_duration": "x"}), false),
            (
                form("threshold_cross", ""),
                json!({"operator": "gt", "threshold": 5}),
                true,
            ),
            (
                form("threshold_cross", ""),
                json!({"operator": ">", "threshold": 5}),
                false,
            ),
            (form("", ""), json!({"whatever": true}), true),
            (form("", ""), json!("text"), false),
        ] {
            assert_eq!(form.validate(&conf).is_ok(), good, "{form:?} {conf}");
        }
    }

    #[test]
    fn items_are_trimmed_and_duplicates_dropped() {
        let form = Form {
            input_builder: "items_list".into(),
            ..Form::default()
        };

        let conf = form
            .validate(&json!({"items": [" a ", "a", "", 7]}))
            .unwrap();

        assert_eq!(conf, json!({"items": ["a", "7"]}));
    }
}
