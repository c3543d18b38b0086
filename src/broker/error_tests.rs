//! One table of codes for each remedy.

use super::*;
use RDKafkaErrorCode as Code;

const STEPS: [Step; 7] = [
    Step::Init,
    Step::Begin,
    Step::Send,
    Step::Delivery,
    Step::Offsets,
    Step::Commit,
    Step::Abort,
];

fn said(code: Code, flag: &str) -> Said {
    Said {
        code,
        retriable: flag == "retriable",
        requires_abort: flag == "requires abort",
        fatal: flag == "fatal",
    }
}

#[test]
fn what_passes_is_called_again() {
    for code in [
        Code::OperationTimedOut,
        Code::RequestTimedOut,
        Code::CoordinatorLoadInProgress,
        Code::ConcurrentTransactions,
        Code::BrokerTransportFailure,
    ] {
        for step in STEPS {
            let remedy = remedy(step, said(code, "retriable"));
            assert_eq!(remedy, Remedy::SameCall, "{code} in {}", step.name());
        }
    }
}

#[test]
fn what_needs_an_abort_is_done_again() {
    for code in [
        Code::MessageTimedOut,
        Code::NotEnoughReplicas,
        Code::Unknown,
        Code::State,
    ] {
        for step in STEPS {
            let remedy = remedy(step, said(code, "requires abort"));
            assert_eq!(remedy, Remedy::Again, "{code} in {}", step.name());
        }
    }
    assert_eq!(
        remedy(Step::Delivery, said(Code::MessageTimedOut, "")),
        Remedy::Again
    );
}

#[test]
fn who_was_replaced_joins_anew_whatever_the_flags_say() {
    for code in [
        Code::Fenced,
        Code::ProducerFenced,
        Code::InvalidProducerEpoch,
        Code::InvalidProducerIdMapping,
        Code::UnknownMemberId,
        Code::FencedInstanceId,
        Code::InvalidTransactionalState,
    ] {
        for flag in ["", "requires abort", "fatal", "retriable"] {
            let remedy = remedy(Step::Offsets, said(code, flag));
            assert_eq!(remedy, Remedy::Rejoin, "{code}, {flag}");
        }
    }
    for step in [Step::Begin, Step::Commit, Step::Abort] {
        let unknown = remedy(step, said(Code::Unknown, ""));
        assert_eq!(unknown, Remedy::Rejoin, "{}", step.name());
        let fatal = remedy(step, said(Code::Unknown, "fatal"));
        assert_eq!(fatal, Remedy::Rejoin, "{}", step.name());
    }
}

#[test]
fn a_batch_across_a_rebalance_is_done_again_in_the_new_generation() {
    for code in [Code::IllegalGeneration, Code::RebalanceInProgress] {
        for (step, expected) in [
            (Step::Offsets, Remedy::Again),
            (Step::Commit, Remedy::Rejoin),
        ] {
            let remedy = remedy(step, said(code, "requires abort"));
            assert_eq!(remedy, expected, "{code} in {}", step.name());
        }
    }
}

#[test]
fn what_only_a_person_can_mend_is_given_up() {
    for code in [
        Code::TopicAuthorizationFailed,
        Code::GroupAuthorizationFailed,
        Code::TransactionalIdAuthorizationFailed,
        Code::ClusterAuthorizationFailed,
        Code::UnknownTopicOrPartition,
        Code::InvalidTransactionTimeout,
    ] {
        for flag in ["", "requires abort", "fatal", "retriable"] {
            for step in STEPS {
                let remedy = remedy(step, said(code, flag));
                assert_eq!(remedy, Remedy::GiveUp, "{code} in {}", step.name());
            }
        }
    }
}

#[test]
fn a_read_that_fails_is_told_apart_too() {
    let table = [
        (Code::FencedInstanceId, Remedy::Rejoin),
        (Code::Fatal, Remedy::Rejoin),
        (Code::AutoOffsetReset, Remedy::GiveUp),
        (Code::OffsetOutOfRange, Remedy::GiveUp),
        (Code::TopicAuthorizationFailed, Remedy::GiveUp),
        (Code::UnknownTopicOrPartition, Remedy::Again),
        (Code::InconsistentGroupProtocol, Remedy::Again),
        (Code::Unknown, Remedy::Again),
    ];
    for (code, expected) in table {
        let error = BrokerError::in_read("raw", KafkaError::MessageConsumption(code));
        assert_eq!(error.remedy(), expected, "{code}");
    }
}

#[test]
fn no_answer_is_waited_for_but_a_refused_password_is_not() {
    for (code, expected) in [
        (Code::BrokerTransportFailure, Remedy::Rejoin),
        (Code::OperationTimedOut, Remedy::Rejoin),
        (Code::Authentication, Remedy::GiveUp),
    ] {
        let error = BrokerError::Unavailable {
            servers: String::new(),
            call: "testing",
            source: KafkaError::MetadataFetch(code),
        };
        assert_eq!(error.remedy(), expected, "{code}");
    }
}

#[test]
fn what_passes_in_the_reads_of_several_topics_is_tried_again_and_what_is_for_people_is_not() {
    let remedy = |code| BrokerError::in_reads(KafkaError::MessageConsumption(code)).remedy();
    for code in [
        Code::UnknownTopicOrPartition,
        Code::UnknownTopic,
        Code::Unknown,
    ] {
        assert_eq!(remedy(code), Remedy::Again, "{code}");
    }
    for code in [Code::FencedInstanceId, Code::UnknownMemberId, Code::Fatal] {
        assert_eq!(remedy(code), Remedy::Rejoin, "{code}");
    }
    for code in [Code::TopicAuthorizationFailed, Code::OffsetOutOfRange] {
        assert_eq!(remedy(code), Remedy::GiveUp, "{code}");
    }
}
