-------------------------------- MODULE Trace --------------------------------
(***************************************************************************)
(* A run of the real code, explained by the model: each line of the log is *)
(* one action of Synod.tla, with what was written and sent compared word   *)
(* by word, or something that must be true just then.  A log that cannot   *)
(* be explained ends in a deadlock.                                        *)
(*                                                                         *)
(* `simulate trace` writes the log, as a module Run that extends this one. *)
(***************************************************************************)
EXTENDS Properties

CONSTANT Log

VARIABLES
    at,         \* the next line
    heard,      \* of each process, the promises that it heard, in order
    acks        \* of each process, the Accepted messages that it heard

Ballots(b) == b % 16
Always(n, m) == TRUE

line == Log[at]

\* What was written is what the model has written.
IsWritten(n, e) ==
    /\ journal'[n] # <<>>
    /\ LET w == journal'[n][Len(journal'[n])]
       IN w.promised = e.promised /\ w.log = e.log /\ w.then = e.then /\ e.prefix \in {0, w.chosen}

\* Which action a write is of: told by what rides on it.
Writes(n, e) ==
    LET kinds == {m.type : m \in e.then}
        own == \E s \in DOMAIN e.log : e.log[s].ballot # 0 /\ Owner(e.log[s].ballot) = n
    IN  IF "prepare" \in kinds
        THEN \E m \in e.then : Stand(n, m.ballot)
        ELSE IF "promise" \in kinds
        THEN \E m \in e.then : OnPrepare(n, m.ballot, m.first, m.last)
        ELSE IF "accepted" \in kinds
        THEN \E m \in e.then : \E p \in proposed :
            p[1] = m.ballot /\ p[2] = m.slot /\ Owner(p[1]) # n /\ OnAccept(n, p[1], p[2], p[3])
        ELSE IF e.log # Nothing
        THEN Learn(n, [s \in DOMAIN e.log |-> e.log[s].value])
        ELSE OnAcceptPassed(n, e.promised)

\* A leader's own vote, which the model has written with the proposal.
IsOwnVote(n, e) == \E m \in e.then : m.type = "accepted" /\ Owner(m.ballot) = n

\* L9: of the promises heard, those that count: each begins where the last one of its sender ended.
RECURSIVE Counted(_, _, _, _)
Counted(messages, b, first, M) ==
    IF messages = <<>> THEN M
    ELSE LET m == Head(messages)
             before == {k \in M : k.from = m.from}
             due == IF before = {} THEN m.first = first
                    ELSE /\ \A k \in before : k.last # 0
                         /\ \E k \in before : k.last + 1 = m.first
                         /\ \A k \in before : k.last < m.first
         IN  Counted(Tail(messages), b, first, IF m.ballot = b /\ due THEN M \cup {m} ELSE M)

Explains(e) ==
    LET n == e.n IN
    \/ /\ e.e = "write" /\ ~IsOwnVote(n, e)
       /\ Writes(n, e) /\ IsWritten(n, e)
       /\ heard' = IF \E m \in e.then : m.type = "prepare" THEN [heard EXCEPT ![n] = <<>>] ELSE heard
       /\ UNCHANGED acks
    \/ /\ e.e = "write" /\ IsOwnVote(n, e)
       /\ UNCHANGED vars /\ IsWritten(n, e) /\ UNCHANGED <<heard, acks>>
    \/ /\ e.e = "accept"
       /\ IF <<e.b, e.s, e.v>> \in proposed THEN UNCHANGED vars ELSE role[n].ballot = e.b /\ NextSlots(n) = {e.s} /\ Propose(n, e.s, e.v)
       /\ UNCHANGED <<heard, acks>>
    \/ /\ e.e = "lead"
       /\ Lead(n, Counted(heard[n], role[n].ballot, role[n].first, {}))
       /\ UNCHANGED <<heard, acks>>
    \/ e.e = "know" /\ Advance(n, e.s) /\ UNCHANGED <<heard, acks>>
    \/ e.e = "persist" /\ Persist(n) /\ UNCHANGED <<heard, acks>>
    \/ /\ e.e = "flush"
       /\ IF e.p <= disk[n].chosen THEN UNCHANGED vars ELSE Flush(n, e.p)
       /\ UNCHANGED <<heard, acks>>
    \/ /\ e.e = "crash"
       /\ Crash(n, e.kept)
       /\ heard' = [heard EXCEPT ![n] = <<>>]
       /\ acks' = [acks EXCEPT ![n] = {}]
    \/ /\ e.e = "yield"
       /\ role' = [role EXCEPT ![n] = [kind |-> "follower"]]
       /\ UNCHANGED <<disk, memory, journal, chosen, sent, proposed, announced, served, cast, crashes, heard, acks>>
    \/ /\ e.e = "hear"
       /\ e.m \in sent
       /\ IF e.m.type = "promise"
          THEN heard' = [heard EXCEPT ![n] = Append(@, e.m)] /\ UNCHANGED acks
          ELSE acks' = [acks EXCEPT ![n] = @ \cup {e.m}] /\ UNCHANGED heard
       /\ UNCHANGED vars
    \* What must be true when it is said.
    \/ /\ \/ e.e = "start" /\ memory[n].promised = e.promised /\ chosen[n] = e.chosen
          \/ e.e = "send" /\ (e.m \in sent \/ (e.m.type = "prepare" /\
                \E m \in sent : m.type = "prepare" /\ m.ballot = e.m.ballot /\ m.first <= e.m.first))
          \/ e.e = "announce" /\ e.p <= announced[e.b]
          \/ e.e = "serve" /\ <<e.s, e.v>> \in served
          \/ /\ e.e = "chosen"
             /\ role[n].kind = "leader"
             /\ IsQuorum2({m.from : m \in {k \in acks[n] : k.ballot = role[n].ballot /\ k.slot = e.s}})
       /\ UNCHANGED <<vars, heard, acks>>

TraceInit == Init /\ at = 1 /\ heard = [n \in Node |-> <<>>] /\ acks = [n \in Node |-> {}]

TraceNext ==
    \/ at <= Len(Log) /\ Explains(line) /\ at' = at + 1
    \/ at > Len(Log) /\ UNCHANGED <<vars, at, heard, acks>>

TraceSpec == TraceInit /\ [][TraceNext]_<<vars, at, heard, acks>>

=============================================================================
