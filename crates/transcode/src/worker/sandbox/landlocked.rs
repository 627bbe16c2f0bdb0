//! Landlock: a domain without a single exception.

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, LandlockStatus, RestrictionStatus, Ruleset,
    RulesetAttr, RulesetError, RulesetStatus, Scope,
};

use super::Layer;

/// What is asked for: 4 brought TCP, 5 ioctl on devices, 6 signals and abstract sockets; 7 adds logging.
const WANTED: ABI = ABI::V7;

pub(super) fn apply() -> Layer {
    match restrict() {
        Ok(RestrictionStatus { ruleset: RulesetStatus::FullyEnforced, landlock, .. }) => {
            Layer::Holds(match landlock {
                LandlockStatus::Available { effective_abi, .. } => {
                    format!("ABI {}", effective_abi.min(WANTED) as i32)
                }
                LandlockStatus::NotEnabled | LandlockStatus::NotImplemented => "in full".to_owned(),
            })
        }
        Ok(status) => Layer::Lacking(match status.landlock {
            LandlockStatus::NotImplemented => "this kernel has none".to_owned(),
            LandlockStatus::NotEnabled => "this kernel has it and was started without".to_owned(),
            LandlockStatus::Available { effective_abi, .. } => {
                format!("this kernel's ABI is {}, signals and sockets need 6", effective_abi as i32)
            }
        }),
        Err(error) => Layer::Lacking(error.to_string()),
    }
}

fn restrict() -> Result<RestrictionStatus, RulesetError> {
    Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(WANTED))?
        .handle_access(AccessNet::from_all(WANTED))?
        .scope(Scope::from_all(WANTED))?
        .create()?
        .restrict_self()
}
