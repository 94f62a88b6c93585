------------------------------- MODULE Mutants -------------------------------
(***************************************************************************)
(* The rules of Synod.tla made wrong.  Each mutants/*.cfg puts one of      *)
(* these in the place of the right one, and TLC has to find what it        *)
(* breaks.                                                                 *)
(***************************************************************************)
EXTENDS Instance

\* A1: promises whatever it is asked, below an earlier promise too.
PromiseLowered(n, b) == TRUE

\* A2: votes below its promise.
VoteUnchecked(n, b, s) == TRUE

\* A2: compares with the last vote where it should compare with the promise.
VoteAgainstVote(n, b, s) == s \in DOMAIN memory[n].log => b >= memory[n].log[s].ballot

\* A2: a vote does not raise the promise, so that a lower ballot may overwrite it.
VotePromisesNothing(n, b) == memory[n].promised

\* A2 the other way round: no raise, but no vote is overwritten by one of a lower ballot.
VoteKeepsHighest(n, b, s) == MayPromise(n, b) /\ VoteAgainstVote(n, b, s)

\* A3: answers leave before what they rest on is durable.
WaitsNotPromise(m) == m.type # "promise"
WaitsNotAccepted(m) == m.type # "accepted"
WaitsNotOwnVote(m) == ~(m.type = "accepted" /\ Owner(m.ballot) = m.from)

\* L1: a Prepare leaves before the candidate's own promise is durable.
WaitsNotPrepare(m) == m.type # "prepare"

\* A6: a recovery that loses the promise, or the votes.
RecoveredWithoutPromise(n, durable) == [promised |-> 0, log |-> durable.log]
RecoveredWithoutVotes(n, durable) == [promised |-> durable.promised, log |-> Nothing]

\* L1: a new process goes on in the ballot of the one before.
ResumedReign(n) == IF role[n].kind = "leader" THEN [role[n] EXCEPT !.next = disk[n].chosen + 1]
                   ELSE [kind |-> "follower"]

\* L1: a ballot has more than one leader.
StandUnderAny(n, b) == b > memory[n].promised

\* L3 ii: phase 1 with phase-2 quorums.
Quorum1IsQuorum2(nodes) == \E q \in Quorum2 : q \subseteq nodes

\* L3 ii: promises of lower ballots count.
PromisesUpTo(b) == {m \in sent : m.type = "promise" /\ m.ballot <= b}

\* L3 iii: adopts the lowest ballot.
AdoptedLowest(reports) == (CHOOSE r \in reports : \A other \in reports : other.ballot >= r.ballot).value

\* L3 iii: adopts nothing.
ProposableAnything(n, s) == Command

\* A1, L3 iii: one ballot for the whole report, the highest of any slot.
ReportHighest(n, b, s) ==
    LET ballots == {memory[n].log[t].ballot : t \in DOMAIN memory[n].log}
    IN  Voted(CHOOSE h \in ballots : \A other \in ballots : other <= h, memory[n].log[s].value)

\* A1: a value learned above a gap is reported below every vote.
ReportLearnedLow(n, b, s) == memory[n].log[s]

\* A1: reports its last slot only.
ReportedLast(n, first) ==
    LET slots == {s \in DOMAIN memory[n].log : s >= first /\ s > chosen[n]}
    IN  {s \in slots : \A t \in slots : t <= s}

\* L9: any page passes for the whole promise.
WholeAlready(M, a, first) == TRUE

\* L7: leads without what others know as decided.
LearnedNothing(n, M) == TRUE

\* L4: proposes again in a slot of its reign.
NextOrEarlier(n) == 1 .. Max(role[n].next, chosen[n] + 1)

\* L5: the same vote counts twice; votes of all ballots count together.
ChosenByRepetition(b, s) == Votes(b, s) # {}
VotesOfAnyBallot(b, s) == {m.from : m \in {k \in sent : k.type = "accepted" /\ k.slot = s}}

\* L6: a leader goes on that has learned another value than its own.
NeverOvertaken(n, s, v) == FALSE

\* A9: votes, and proposes, over what it has learned.
NeverContradicts(n, s, v) == FALSE

\* C1: an announcement vouches for votes of any ballot.
VouchesForAny(b, s, entry) == s <= announced[b]

\* C1: peers tell what they have voted for.
ToldVotes == served \cup UNION {{<<s, memory[n].log[s].value>> : s \in DOMAIN memory[n].log} : n \in Node}

\* C1: the chosen prefix jumps over gaps.
ExtensionsAnywhere(n) == {s \in Slot : s > chosen[n]}

\* C2: the state machine is durable ahead of the journal.
HeldOrNot(n, s) == TRUE

\* L3 i: proposes beyond the window.
WindowUnbounded(n, s) == TRUE

=============================================================================
