//! Why the members were not changed, as it is told.

use conclave_raft::MemberError;
use tonic::Code;

use super::{Failure, Told};

/// Those of them that are decided and said with a reason of their own.
pub(super) fn told(error: &MemberError) -> Told {
    let failed = |reason| (Code::FailedPrecondition, reason);
    let mut metadata = Vec::new();
    let (code, reason) = match error {
        MemberError::Unknown { .. } => (Code::NotFound, "NOT_FOUND"),
        MemberError::Exists { .. } => (Code::AlreadyExists, "MEMBER_EXISTS"),
        MemberError::UnderWay => failed("MEMBER_CHANGE_UNDER_WAY"),
        MemberError::VotesAlready { .. } => failed("MEMBER_VOTES_ALREADY"),
        MemberError::NotThere { .. } => failed("MEMBER_NOT_THERE"),
        MemberError::Unreachable { .. } => failed("MEMBER_UNREACHABLE"),
        MemberError::Lagging { behind, .. } => {
            metadata.extend(behind.map(|behind| ("behind", behind.to_string())));
            failed("MEMBER_LAGS")
        }
        MemberError::LastVoter { .. } => failed("MEMBER_LAST_VOTER"),
        MemberError::QuorumLost { voters, living, needed } => {
            metadata.push(("voters", voters.to_string()));
            metadata.push(("living", living.to_string()));
            metadata.push(("needed", needed.to_string()));
            failed("MEMBER_QUORUM")
        }
        MemberError::TooMany => (Code::ResourceExhausted, "MEMBER_TOO_MANY"),
        MemberError::Invalid { .. } => (Code::InvalidArgument, "MEMBER_INVALID"),
        MemberError::Unaddressed { .. } => failed("MEMBER_UNADDRESSED"),
        MemberError::NotHandedOver { .. } => failed("MEMBER_NOT_HANDED_OVER"),
        // Told to nodes that join, never to clients; and what other failures say.
        MemberError::NotExpected { .. }
        | MemberError::OtherToken
        | MemberError::OtherAddress { .. }
        | MemberError::NotLeader { .. }
        | MemberError::NoQuorum
        | MemberError::NoDecision
        | MemberError::Stopped => failed("MEMBER_REFUSED"),
    };
    let retry = matches!(error, MemberError::UnderWay);
    Told { code, reason, message: error.to_string(), metadata, retry }
}

impl From<MemberError> for Failure {
    fn from(error: MemberError) -> Self {
        match error {
            MemberError::NotLeader { leader } => Self::NotLeader { leader },
            MemberError::NoQuorum => Self::NoQuorum,
            MemberError::NoDecision => Self::Unknown,
            MemberError::Stopped => Self::ShuttingDown,
            error => Self::Member(error),
        }
    }
}
