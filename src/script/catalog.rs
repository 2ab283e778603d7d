//! What was loaded and what was not, and why: plain data that every thread may read.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Value, json};

use crate::events::eve::{AlertName, Names, StatusName};
use crate::script::configset::ConfigSets;
use crate::script::current::Hook;
use crate::script::form::Form;
use crate::verdict::Action;

/// Everything known of plugins after loading.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// Plugins that were loaded, in load order.
    pub plugins: Vec<Plugin>,
    /// Scripts of all types. A script's index here is the number by which flows remember it; the same files
    /// and configuration always give the same indexes.
    pub scripts: Vec<Script>,
    /// Flow statuses by key.
    pub statuses: BTreeMap<u8, StatusDefinition>,
    /// Alert types by key.
    pub alerts: BTreeMap<u32, AlertDefinition>,
    /// What was refused, doubtful, or not of use here.
    pub findings: Vec<Finding>,
}

/// A plugin.
#[derive(Clone, Debug, Serialize)]
pub struct Plugin {
    /// Name of its folder.
    pub key: String,
    /// Where it was found.
    pub path: String,
    /// From the manifest, in the owner's language if it is a key.
    pub title: String,
    /// From the manifest.
    pub description: String,
    /// From the manifest.
    pub author: String,
}

/// A user script.
#[derive(Clone, Debug)]
pub struct Script {
    /// File name without `.lua`.
    pub key: String,
    /// Plugin it came with.
    pub plugin: String,
    /// Folder under `user_scripts`: `flow`, `host`, ...
    pub kind: String,
    /// Shown name.
    pub title: String,
    /// Shown explanation.
    pub description: String,
    /// Key of `user_scripts.script_categories`.
    pub category: String,
    /// Flow hooks it has.
    pub hooks: Vec<Hook>,
    /// Higher runs first.
    pub prio: i64,
    /// When its hooks are skipped.
    pub filter: Filter,
    /// Whether it runs, or why not.
    pub state: State,
    /// Switched on in the configuration, whether or not it can run.
    pub enabled: bool,
    /// Runs before the request leaves.
    pub early: bool,
    /// What is done when its status decides, if not what holds for all.
    pub action: Option<Action>,
    /// Its configuration.
    pub conf: Value,
    /// Its factory configuration.
    pub default_conf: Value,
    /// `default_enabled`, normalised.
    pub default_enabled: bool,
    /// The `gui` table without functions, texts looked up; null without one.
    pub gui: Value,
    /// How the configuration is checked.
    pub form: Form,
    /// What it reads from us, and whether we have it.
    pub needs: Vec<Need>,
}

/// Conditions on a flow under which hooks are called. `None` and false let all pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// IP protocol number; -1 is one no number stands for.
    pub l4: Option<i16>,
    /// Master or application protocol.
    pub l7: Option<u16>,
    /// TCP only after a complete handshake.
    pub handshake: bool,
    /// Least seconds between two calls of `periodicUpdate`; 0 for each.
    pub period_secs: u32,
}

/// Whether a script runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", content = "reason", rename_all = "snake_case")]
pub enum State {
    /// Its hooks are called.
    Running,
    /// Switched off in the configuration.
    Disabled,
    /// Of no use on this system, for this reason.
    NotApplicable(String),
    /// Of a type this version does not run.
    NotRun,
}

/// A name a script uses that the host has to provide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Need {
    /// `flow.getInfo`, `require dkjson`.
    pub name: String,
    /// We provide it.
    pub have: bool,
}

/// A flow status.
#[derive(Clone, Debug, Serialize)]
pub struct StatusDefinition {
    /// Name of its file.
    pub name: String,
    /// Shown name.
    pub title: String,
    /// Alert raised for it.
    pub alert_key: u32,
    /// Name of that alert type.
    pub alert_name: String,
    /// ntopng severity id, 1..=8.
    pub severity: u8,
    /// Plugin that defines it; none for ours.
    pub plugin: Option<String>,
}

/// An alert type.
#[derive(Clone, Debug, Serialize)]
pub struct AlertDefinition {
    /// Name of its file.
    pub name: String,
    /// Shown name.
    pub title: String,
    /// CSS class of its icon.
    pub icon: String,
    /// Plugin that defines it; none for ours.
    pub plugin: Option<String>,
}

/// How grave a [`Finding`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Not loaded, because of a mistake in it.
    Refused,
    /// Loaded, but probably not as meant.
    Warning,
    /// Known and left alone.
    Note,
}

/// Something to tell about a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How grave.
    pub level: Level,
    /// Plugin it belongs to; empty if to none.
    pub plugin: String,
    /// Path from the plugin's folder on, its name included.
    pub file: String,
    /// Line in it, if one is to blame.
    pub line: Option<u32>,
    /// What is the matter, in words.
    pub reason: String,
}

impl Names for Catalog {
    fn script(&self, index: u16) -> &str {
        self.scripts
            .get(usize::from(index))
            .map_or("", |script| &script.key)
    }

    fn category(&self, script: u16) -> &str {
        self.scripts
            .get(usize::from(script))
            .map_or("", |script| &script.category)
    }

    fn status(&self, key: u8) -> StatusName<'_> {
        self.statuses
            .get(&key)
            .map_or_else(StatusName::default, |status| StatusName {
                name: &status.name,
                title: &status.title,
            })
    }

    fn alert(&self, key: u32) -> AlertName<'_> {
        self.alerts
            .get(&key)
            .map_or_else(AlertName::default, |alert| AlertName {
                name: &alert.name,
                title: &alert.title,
            })
    }
}

impl Catalog {
    /// Index of the script of this type and key.
    pub fn script(&self, kind: &str, key: &str) -> Option<u16> {
        let found = self
            .scripts
            .iter()
            .position(|s| s.kind == kind && s.key == key);
        found.map(|index| index as u16)
    }

    /// Name of the script with this index, `?` for none.
    pub fn script_name(&self, index: u16) -> &str {
        self.scripts
            .get(usize::from(index))
            .map_or("?", |script| &script.key)
    }

    /// Name of the status with this key, `?` for none.
    pub fn status_name(&self, key: u8) -> &str {
        self.statuses.get(&key).map_or("?", |status| &status.name)
    }

    /// Puts an entry with defaults into `sets` for each flow script that has none.
    pub fn complete(&self, sets: &mut ConfigSets) {
        for script in self.scripts.iter().filter(|script| script.kind == "flow") {
            sets.first_sight(
                "flow",
                &script.key,
                "all",
                script.default_enabled,
                &script.default_conf,
            );
        }
    }

    /// Findings of one level.
    pub fn findings(&self, level: Level) -> impl Iterator<Item = &Finding> {
        self.findings
            .iter()
            .filter(move |finding| finding.level == level)
    }

    /// The report for people.
    pub fn report_text(&self) -> String {
        let mut out = String::new();
        // Writing to a String does not fail.
        let _ = self.write_report(&mut out);
        out
    }

    fn write_report(&self, out: &mut String) -> std::fmt::Result {
        let running = self
            .scripts
            .iter()
            .filter(|s| s.state == State::Running)
            .count();
        let refused = self.findings(Level::Refused).count();
        writeln!(
            out,
            "{} plugins, {} scripts, {running} running; {refused} refused",
            self.plugins.len(),
            self.scripts.len()
        )?;
        for plugin in &self.plugins {
            writeln!(
                out,
                "\n{}: {} ({})",
                plugin.key,
                printable(&plugin.title),
                plugin.path
            )?;
            for script in self.scripts.iter().filter(|s| s.plugin == plugin.key) {
                script.write_report(out)?;
            }
            for (key, status) in &self.statuses {
                if status.plugin.as_deref() == Some(&plugin.key) {
                    writeln!(
                        out,
                        "  status {} ({key}): {}",
                        status.name,
                        printable(&status.title)
                    )?;
                }
            }
            for (key, alert) in &self.alerts {
                if alert.plugin.as_deref() == Some(&plugin.key) {
                    writeln!(
                        out,
                        "  alert {} ({key}): {}",
                        alert.name,
                        printable(&alert.title)
                    )?;
                }
            }
        }
        for (level, heading) in [
            (Level::Refused, "refused"),
            (Level::Warning, "warnings"),
            (Level::Note, "notes"),
        ] {
            let mut findings = self.findings(level).peekable();
            if findings.peek().is_some() {
                writeln!(out, "\n{heading}:")?;
            }
            for finding in findings {
                writeln!(out, "  {finding}")?;
            }
        }
        Ok(())
    }

    /// The report for programs.
    pub fn report_json(&self) -> Value {
        let statuses: BTreeMap<String, _> = self
            .statuses
            .iter()
            .map(|(key, status)| (key.to_string(), status))
            .collect();
        let alerts: BTreeMap<String, _> = self
            .alerts
            .iter()
            .map(|(key, alert)| (key.to_string(), alert))
            .collect();
        json!({
            "plugins": self.plugins,
            "scripts": self.scripts.iter().map(Script::report_json).collect::<Vec<_>>(),
            "statuses": statuses,
            "alerts": alerts,
            "findings": self.findings,
        })
    }
}

impl Script {
    fn hook_names(&self) -> Vec<&'static str> {
        self.hooks.iter().map(|hook| hook.name()).collect()
    }

    fn write_report(&self, out: &mut String) -> std::fmt::Result {
        write!(out, "  script {}/{}: ", self.kind, self.key)?;
        match &self.state {
            State::Running => write!(out, "running, {}", self.hook_names().join(" "))?,
            State::Disabled => write!(out, "disabled in the configuration")?,
            State::NotApplicable(reason) => write!(out, "not applicable: {reason}")?,
            State::NotRun => write!(out, "not run by this version")?,
        }
        if self.early {
            write!(out, ", early")?;
        }
        writeln!(out)?;
        let missing: Vec<&str> = self
            .needs
            .iter()
            .filter(|need| !need.have)
            .map(|need| need.name.as_str())
            .collect();
        if !missing.is_empty() {
            writeln!(out, "    needs what is not here: {}", missing.join(", "))?;
        }
        Ok(())
    }

    fn report_json(&self) -> Value {
        json!({
            "key": self.key,
            "plugin": self.plugin,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "category": self.category,
            "hooks": self.hook_names(),
            "prio": self.prio,
            "l4_proto": self.filter.l4,
            "l7_proto_id": self.filter.l7,
            "three_way_handshake_ok": self.filter.handshake,
            "status": self.state,
            "enabled": self.enabled,
            "early": self.early,
            "action": self.action,
            "conf": self.conf,
            "default_conf": self.default_conf,
            "gui": self.gui,
            "needs": self.needs,
        })
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", printable(&self.reason))
    }
}

/// One line without control characters: plugins' texts end up on terminals and in logs.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_holds_no_control_characters_of_a_plugin() {
        let finding = Finding {
            level: Level::Refused,
            plugin: "p".into(),
            file: "p/manifest.lua".into(),
            line: Some(3),
            reason: "bad \u{1b}[31m\nthing".into(),
        };
        let catalog = Catalog {
            findings: vec![finding],
            ..Catalog::default()
        };

        let text = catalog.report_text();

        assert!(text.contains("p/manifest.lua:3: bad  [31m thing"), "{text}");
    }
}
