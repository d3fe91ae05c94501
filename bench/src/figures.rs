//! What a workload found that is no closed loop: figures with names and units. The names in JSON are a contract.

use serde::Serialize;

use crate::machine::Circumstances;
use crate::rows::{align_right, draw, new_table};

/// Everything one run says.
#[derive(Debug, Serialize)]
pub(crate) struct Findings {
    pub(crate) machine: Circumstances,
    pub(crate) workload: String,
    pub(crate) figures: Figures,
}

/// In the order in which they were found.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(transparent)]
pub(crate) struct Figures(Vec<Figure>);

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
}

impl Figures {
    /// Rounded to three decimals.
    pub(crate) fn add(&mut self, name: impl Into<String>, value: f64, unit: &'static str) {
        let value = (value * 1_000.0).round() / 1_000.0;
        self.0.push(Figure { name: name.into(), value, unit });
    }

    pub(crate) fn get(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|figure| figure.name == name).map(|figure| figure.value)
    }

    pub(crate) fn table(&self) -> String {
        let mut table = new_table(&["figure", "value", "unit"]);
        align_right(&mut table, &[1]);
        for Figure { name, value, unit } in &self.0 {
            table.add_row([name.clone(), value.to_string(), (*unit).to_owned()]);
        }
        draw(&table)
    }
}

impl Findings {
    pub(crate) fn table(&self) -> String {
        format!("{}\n\n{}\n\n{}", self.machine.line(), self.workload, self.figures.table())
    }
}
