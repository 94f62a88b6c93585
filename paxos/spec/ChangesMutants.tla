---------------------------- MODULE ChangesMutants ----------------------------
(* The rules of Changes.tla made wrong, one for each configuration of TLC in mutants/change-*.cfg. *)
EXTENDS ChangesInstance

\* R1: a configuration is in force from the slot on that follows its own.
FromNext(s) == s + 1

\* L3 i, R1: proposes beyond the window, by the newest configuration that it knows.
ByNewest(c, s) == {In(AsOf(c), s)}

\* R1: takes a change for made when somebody has voted for it.
VotedIn(s) == {k.value : k \in {v \in cast : v.slot = s}}
ByVotes(c, s) ==
    IF s <= c + Alpha
    THEN {In(AsOf(c), s)} \cup {v \in Configuration : \E t \in Slot : t + Alpha <= s /\ v \in VotedIn(t)}
    ELSE {}

\* R3: the promises of the first configuration pass for those of the new one.
PromisersOfFirst(c) == Quorum1(First)

\* L3 ii: phase 1 with phase-2 quorums.
PromisersOfPhaseTwo(c) == Quorum2(c)

\* R6: retired as soon as the new configuration is chosen.
KeptAlready(governing) == TRUE

\* R6: it is enough that any member keeps it.
KeptByAny(governing) == \E n \in Members(governing.newest) : kept[n] >= governing.from - 1

=============================================================================
