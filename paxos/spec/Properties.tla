------------------------------ MODULE Properties ------------------------------
(***************************************************************************)
(* What must hold.  The names are those of the simulator's checkers        *)
(* (simulator/src/checker), which judge the real code by the same words.   *)
(* Chosen is what disks once held, never what a node says.                 *)
(***************************************************************************)
EXTENDS Synod

VotersFor(b, s, v) == {c[1] : c \in {k \in cast : k[2] = b /\ k[3] = s /\ k[4] = v}}
IsChosen(b, s, v) == IsQuorum2(VotersFor(b, s, v))
Chosen(s) == {v \in Value : \E b \in Ballot : IsChosen(b, s, v)}
ChosenIn(s, v) == v \in Chosen(s)

\* I1: no two values are ever chosen in one slot.
Agreement == \A s \in Slot : Cardinality(Chosen(s)) <= 1

\* I2: what a node holds, records or tells as chosen is chosen, with that value.
Claims ==
    /\ \A n \in Node :
        /\ \A s \in 1 .. chosen[n] : s \in DOMAIN memory[n].log /\ ChosenIn(s, memory[n].log[s].value)
        /\ \A s \in 1 .. disk[n].chosen : s \in DOMAIN disk[n].log /\ ChosenIn(s, disk[n].log[s].value)
        /\ \A s \in DOMAIN memory[n].log : IsLearned(memory[n].log[s]) => ChosenIn(s, memory[n].log[s].value)
    /\ \A told \in served : ChosenIn(told[1], told[2])

\* I3: only what clients asked for, or a no-op, is proposed or voted for.
Validity ==
    /\ \A p \in proposed : p[3] \in Value
    /\ \A c \in cast : <<c[2], c[3], c[4]>> \in proposed

\* I4: one value per ballot and slot.
OneValue == \A p, q \in proposed : p[1] = q[1] /\ p[2] = q[2] => p[3] = q[3]

\* I5: promises grow, on disks and so across crashes.
PromisesGrow == [][\A n \in Node : disk'[n].promised >= disk[n].promised]_vars

\* I6: no vote becomes durable below a durable promise.
NoVoteBelow == [][\A c \in cast' \ cast : c[2] >= disk[c[1]].promised]_vars

\* I7: what is sent rests on what was durable then.
PromiseImpliesDurable ==
    \A m \in sent : m.type = "promise" =>
        /\ disk[m.from].promised >= m.ballot
        \* No vote below the ballot is missing in the page's range, and none is invented.
        /\ \A c \in cast :
            (/\ c[1] = m.from /\ c[2] < m.ballot /\ c[3] >= m.first /\ c[3] > m.chosen
             /\ m.last = 0 \/ c[3] <= m.last)
            => c[3] \in DOMAIN m.votes /\ m.votes[c[3]].ballot >= c[2]
        /\ \A s \in DOMAIN m.votes : \/ <<m.from, m.votes[s].ballot, s, m.votes[s].value>> \in cast
                                     \/ m.votes[s].ballot = m.ballot /\ ChosenIn(s, m.votes[s].value)
AcceptedImpliesDurable ==
    \A m \in sent : m.type = "accepted" =>
        \E p \in proposed : /\ p[1] = m.ballot /\ p[2] = m.slot
                            /\ <<m.from, p[1], p[2], p[3]>> \in cast \/ ChosenIn(p[2], p[3])

\* I8: a proposal is consistent with the votes of some phase-1 quorum that promised its ballot.
VotesBelow(nodes, b, s) == {c \in cast : c[1] \in nodes /\ c[2] < b /\ c[3] = s}
Adoption ==
    \A p \in proposed : \E q \in Quorum1 :
        /\ \A n \in q : disk[n].promised >= p[1]
        /\ LET votes == VotesBelow(q, p[1], p[2])
           IN  votes = {} \/ \E c \in votes : c[4] = p[3] /\ \A other \in votes : other[2] <= c[2]

\* I9: what is chosen stays: every proposal of a later ballot carries it.
ChosenStays ==
    \A p \in proposed : \A c \in cast :
        c[3] = p[2] /\ c[2] < p[1] /\ c[4] # p[3] => ~IsChosen(c[2], c[3], c[4])

\* A9, on disks: a value that was learned is not replaced by another.
LearnedStays ==
    [][\A n \in Node : \A s \in DOMAIN disk[n].log :
        IsLearned(disk[n].log[s]) => s \in DOMAIN disk'[n].log /\ disk'[n].log[s].value = disk[n].log[s].value]_vars

\* What leader.rs asserts: whoever stands or leads has promised just that ballot.
LeadersPromise == \A n \in Node : role[n].kind # "follower" => memory[n].promised = role[n].ballot

-----------------------------------------------------------------------------
(* What must be reachable: each of these has to be violated, or the others hold for want of anything happening. *)

NeverChosen == \A s \in Slot : Chosen(s) = {}
NeverAllChosen == \E s \in Slot : Chosen(s) = {}
\* A value of a lower ballot is proposed again.
NeverAdopted == \A p \in proposed : \A q \in proposed : p[2] = q[2] /\ q[1] < p[1] => p[3] # q[3] \/ p[3] = Noop
\* Of two values in lower ballots the one of the higher ballot is proposed again.
NeverSuperseded ==
    \A p, q, r \in proposed : p[2] = q[2] /\ q[2] = r[2] /\ p[1] > q[1] /\ q[1] > r[1] /\ p[3] = q[3] => r[3] = q[3]
NeverGap == \A p \in proposed : p[3] # Noop
NeverLearned == \A n \in Node : \A s \in DOMAIN memory[n].log : ~IsLearned(memory[n].log[s])
\* A value is learned above a gap.
NeverLearnedAhead ==
    \A n \in Node : \A s \in DOMAIN memory[n].log : IsLearned(memory[n].log[s]) => s <= chosen[n] + 1
\* A promise leaves out what its sender knows to be decided.
NeverDecided == \A m \in sent : m.type = "promise" => m.chosen = 0
\* A promise comes in more than one page.
NeverPaged == \A m \in sent : m.type = "promise" => m.last = 0
\* A leader learns that another value than its own was chosen.
NeverGivesWay ==
    [][\A n \in Node : role[n].kind = "leader" /\ role'[n].kind = "follower" => memory'[n].promised > role[n].ballot]_vars
\* A crash loses a promise that was not durable yet.
NeverTorn == [][\A n \in Node : memory'[n].promised >= memory[n].promised]_vars

=============================================================================
