//! What is loaded when the box starts: only what somebody confirmed, or applied for good.
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

/// What a start loaded. All but the first two want somebody to look.
#[derive(Debug)]
pub enum Booted {
    /// What the configuration asks for.
    Configured,
    /// What was confirmed last, which is not what the configuration asks for.
    LastConfirmed,
    /// The same, because what the configuration asks for was refused.
    InPlaceOf(NftError),
    /// What the configuration asks for, because what was kept cannot be read.
    Unkept(NftError),
    /// Nothing, because the configuration makes no rules and none were kept.
    Nothing,
}

/// Loads the rules of a start. `wanted` are those of the configuration, if it makes any.
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
