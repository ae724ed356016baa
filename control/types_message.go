package control

import "time"

// A Message tells somebody that something needs a look, or did.
type Message struct {
	ID       string     `json:"id"`
	Time     time.Time  `json:"time"` // of the first time
	Kind     string     `json:"kind"` // one of those below
	Cause    string     `json:"cause"`
	Text     string     `json:"text"`
	Count    int        `json:"count"`              // how often within a day
	Last     time.Time  `json:"last"`               // of the last time
	Resolved *time.Time `json:"resolved,omitempty"` // when it was over

	Recovered bool `json:"recovered,omitempty"` // the channels were told that it was over, which is said once
}

// The kinds of messages.
const (
	MessageDamage = "damage" // bytes in the vault are not what was written
	MessagePlace  = "place"  // a place of the vault is not used
	MessageSpace  = "space"  // a place is nearly full
	MessageBackup = "backup" // a backup did not run, or not well
	MessageTask   = "task"   // another task did not end well
	MessageLate   = "late"   // a partition has no version of the last day
	MessageClock  = "clock"  // the machine's clock is not believed
	MessageMissed = "missed" // a journal did not tell of a change
	MessageDrill  = "drill"  // a restore could not be proven

	MessageInstance = "instance" // the machine has another id than before, or versions and is not activated
)

// MessageKinds lists them.
var MessageKinds = []string{MessageBackup, MessageClock, MessageDamage, MessageDrill, MessageInstance, MessageLate, MessageMissed, MessagePlace, MessageSpace, MessageTask}

// A MessagesRequest narrows a listing.
type MessagesRequest struct {
	Open string `json:"open,omitempty"` // "true": only what is not over
}

// A MessageList lists messages, oldest first.
type MessageList struct {
	Messages []Message `json:"messages"`
}
