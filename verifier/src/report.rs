//! What was checked, how much of it, and what was found.

use std::fmt;

/// Of one check, so many violations are told; the rest are counted.
const TOLD_MAX: usize = 20;

/// One line per check.
#[derive(Debug, Default)]
pub struct Report {
    pub checks: Vec<Check>,
}

/// One rule and how it fared.
#[derive(Debug)]
pub struct Check {
    /// Numbers of the invariants, as docs/reliability.md lists them.
    pub invariants: &'static str,
    pub rule: &'static str,
    /// How many things it was asked of.
    pub asked: u64,
    pub violations: u64,
    pub told: Vec<String>,
}

impl Check {
    pub(crate) fn new(invariants: &'static str, rule: &'static str) -> Self {
        Self {
            invariants,
            rule,
            asked: 0,
            violations: 0,
            told: Vec::new(),
        }
    }

    /// One more thing that must hold.
    pub(crate) fn expect(&mut self, holds: bool, else_say: impl FnOnce() -> String) {
        self.asked += 1;
        if !holds {
            self.violations += 1;
            if self.told.len() < TOLD_MAX {
                self.told.push(else_say());
            }
        }
    }
}

impl Report {
    pub(crate) fn add(&mut self, check: Check) {
        self.checks.push(check);
    }

    /// How often something did not hold.
    pub fn violations(&self) -> u64 {
        self.checks.iter().map(|check| check.violations).sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for check in &self.checks {
            let verdict = if check.violations == 0 {
                "ok  "
            } else {
                "FAIL"
            };
            writeln!(
                f,
                "{verdict} {:>7}  {:<78} {:>9} checked",
                check.invariants, check.rule, check.asked
            )?;
            for violation in &check.told {
                writeln!(f, "             {violation}")?;
            }
            let untold = check.violations - check.told.len() as u64;
            if untold > 0 {
                writeln!(f, "             … and {untold} more")?;
            }
        }
        write!(f, "{} violations", self.violations())
    }
}
