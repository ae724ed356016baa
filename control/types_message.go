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
}

// The kinds of messages.
const (
	MessageDamage = "damage" // bytes in the vault are not what was written
	MessagePlace  = "place"  // a place of the vault is not used
	MessageSpace  = "space"  // a place is nearly full
	MessageBackup = "backup" // a backup did not run, or not well
)

// A MessagesRequest narrows a listing.
type MessagesRequest struct {
	Open string `json:"open,omitempty"` // "true": only what is not over
}

// A MessageList lists messages, oldest first.
type MessageList struct {
	Messages []Message `json:"messages"`
}
