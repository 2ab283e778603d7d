//! From what scripts said of a flow to its verdict and the reason: the one place that decides. Live
//! traffic, replay and every explanation call [`Policy::decide`].

use crate::config::{Exempt, Mode};
use crate::flow::{Flow, flag};
use crate::score::{ScoreMode, Statuses};
use crate::verdict::{Action, Class, Reason, Verdict};

/// What was decided for a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The answer.
    pub verdict: Verdict,
    /// What enforcement would answer; the same as `verdict` when enforcing.
    pub would: Verdict,
    /// Why.
    pub reason: Reason,
}

/// All that decides beside the flow itself.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Monitor or enforce.
    pub mode: Mode,
    /// Score that must be exceeded for `action`.
    pub threshold: u16,
    /// Score that must be exceeded for a mark; none: no marking below `threshold`.
    pub mark_threshold: Option<u16>,
    /// What happens above `threshold`.
    pub action: Action,
    /// How scores add up.
    pub score_mode: ScoreMode,
    /// Exemptions, in the order of the configuration.
    pub exempt: Box<[Exempt]>,
    /// Actions of single scripts, by script index; they override `action`.
    pub script_actions: Box<[Option<Action>]>,
    /// What is not understood passes.
    pub fail_open: bool,
    /// How a flow goes on that passed: offload only if nobody wants to hear of it again.
    pub released: Class,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            mode: Mode::Monitor,
            threshold: 100,
            mark_threshold: None,
            action: Action::Drop,
            score_mode: ScoreMode::Event,
            exempt: Box::default(),
            script_actions: Box::default(),
            fail_open: true,
            released: Class::Offload,
        }
    }
}

impl Policy {
    /// The entry that exempts `flow`, if any.
    pub fn exemption(&self, flow: &Flow) -> Option<Judgement> {
        let (client, server) = (flow.client().0, flow.server().0);
        let mac = flow.has(flag::HAS_MAC).then_some(flow.client_mac);
        let entry = self.exempt.iter().position(|exempt| {
            exempt.enabled
                && exempt.src.is_none_or(|network| network.contains(client))
                && exempt.dst.is_none_or(|network| network.contains(server))
                && exempt.mac.is_none_or(|wanted| mac == Some(wanted.0))
        })?;
        let verdict = Verdict::PassFlow(Class::Offload);
        Some(Judgement {
            verdict,
            would: verdict,
            reason: Reason::Exempt(entry as u16),
        })
    }

    /// Verdict and reason for a flow with these statuses.
    pub fn decide(&self, statuses: &Statuses) -> Judgement {
        let (would, reason) = self.weigh(statuses);
        let verdict = match self.mode {
            Mode::Enforce => would,
            Mode::Monitor => Verdict::PassFlow(self.released),
        };
        Judgement {
            verdict,
            would,
            reason,
        }
    }

    fn weigh(&self, statuses: &Statuses) -> (Verdict, Reason) {
        let score = statuses.total(self.score_mode);
        let Some(worst) = statuses.predominant() else {
            return (Verdict::PassFlow(self.released), Reason::Clean);
        };
        let action = self
            .script_actions
            .get(usize::from(worst.script))
            .copied()
            .flatten();
        let exceeds = |threshold| Reason::Exceeds {
            score,
            threshold,
            status: worst.key,
            script: worst.script,
        };
        if score > self.threshold {
            let verdict = match action.unwrap_or(self.action) {
                Action::Drop => Verdict::DropFlow,
                Action::Reject => Verdict::RejectFlow,
                Action::Mark => Verdict::PassFlow(Class::Marked),
            };
            return (verdict, exceeds(self.threshold));
        }
        match self.mark_threshold {
            Some(threshold) if score > threshold => {
                (Verdict::PassFlow(Class::Marked), exceeds(threshold))
            }
            _ => {
                let reason = Reason::Below {
                    score,
                    threshold: self.threshold,
                };
                (Verdict::PassFlow(self.released), reason)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(score: u16) -> Statuses {
        let mut statuses = Statuses::default();
        statuses.set(59, score, 0, ScoreMode::Event);
        statuses
    }

    fn enforcing() -> Policy {
        Policy {
            mode: Mode::Enforce,
            ..Policy::default()
        }
    }

    #[test]
    fn exceeds_means_strictly_greater() {
        let policy = enforcing();

        assert_eq!(
            policy.decide(&scored(100)).verdict,
            Verdict::PassFlow(Class::Offload)
        );
        assert_eq!(policy.decide(&scored(101)).verdict, Verdict::DropFlow);
        assert_eq!(
            policy.decide(&scored(101)).reason,
            Reason::Exceeds {
                score: 101,
                threshold: 100,
                status: 59,
                script: 0
            }
        );
    }

    #[test]
    fn monitoring_passes_and_says_what_would_have_been() {
        let judgement = Policy::default().decide(&scored(200));

        assert_eq!(judgement.verdict, Verdict::PassFlow(Class::Offload));
        assert_eq!(judgement.would, Verdict::DropFlow);
    }

    #[test]
    fn a_scripts_own_action_overrides_the_global_one() {
        let policy = Policy {
            script_actions: Box::new([Some(Action::Reject)]),
            ..enforcing()
        };

        assert_eq!(policy.decide(&scored(200)).verdict, Verdict::RejectFlow);
    }

    #[test]
    fn marking_has_a_threshold_of_its_own() {
        let policy = Policy {
            mark_threshold: Some(40),
            ..enforcing()
        };

        assert_eq!(
            policy.decide(&scored(50)).verdict,
            Verdict::PassFlow(Class::Marked)
        );
        assert_eq!(
            policy.decide(&scored(40)).verdict,
            Verdict::PassFlow(Class::Offload)
        );
    }
}
