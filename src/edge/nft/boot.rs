//! The rules that are loaded at boot: only those that were confirmed, or applied without confirmation.
//!
//! | kept | the configuration | loaded |
//! |---|---|---|
//! | nothing yet | makes rules | those, and they are kept: nobody is connected yet |
//! | rules | makes the same | those; the ports of SSH may be others by now |
//! | rules | makes others, or none | those that are kept |
//! | that a first change was never confirmed | whatever | nothing |
//! | cannot be read | makes rules | those, since there are no others; they are not kept |

use super::change::{Lasting, RulesChange};
use super::error::NftError;
use super::folder::Folder;
use super::kept::{Keep, KeptRules, Rules};
use super::run::Nft;

/// What was loaded at boot. All but the first two need attention.
#[derive(Debug)]
pub enum Booted {
    /// The rules of the configuration.
    Configured,
    /// The rules last confirmed, which differ from the configuration.
    LastConfirmed,
    /// The rules last confirmed, because nft refused those of the configuration.
    InPlaceOf(NftError),
    /// The rules of the configuration, because the saved ones cannot be read.
    Unkept(NftError),
    /// Nothing, because the configuration yields no rules and none were saved.
    Nothing,
}

/// Loads the rules at boot. `wanted` are those of the configuration, if it yields any.
pub async fn boot(
    nft: &Nft,
    folder: &Folder,
    keep: &Keep,
    wanted: Option<&Rules>,
) -> Result<Booted, NftError> {
    let load = async |rules, lasting| {
        let change = RulesChange { rules, lasting };
        change.apply(nft, folder, keep).await
    };
    let kept = match (keep.read(), wanted) {
        (Ok(Some(KeptRules::Rules(kept))), _) => kept,
        (Ok(Some(KeptRules::Nothing)), _) => return Err(NftError::NeverConfirmed),
        (Ok(None), Some(wanted)) => {
            load(wanted, Lasting::Kept).await?;
            return Ok(Booted::Configured);
        }
        (Err(error), Some(wanted)) => {
            load(wanted, Lasting::ThisTime).await?;
            return Ok(Booted::Unkept(error));
        }
        (Ok(None), None) => return Ok(Booted::Nothing),
        (Err(error), None) => return Err(error),
    };
    let Some(wanted) = wanted.filter(|wanted| wanted.policy_sha256 == kept.policy_sha256) else {
        load(&kept, Lasting::ThisTime).await?;
        return Ok(Booted::LastConfirmed);
    };
    let Err(refused) = load(wanted, Lasting::Kept).await else {
        return Ok(Booted::Configured);
    };
    if matches!(refused, NftError::NotKept(_)) || wanted.text == kept.text {
        return Err(refused);
    }
    load(&kept, Lasting::ThisTime).await?;
    Ok(Booted::InPlaceOf(refused))
}
