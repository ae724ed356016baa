package control

import "time"

// An Alert is a message on its way to somebody, with what it is about. It is the JSON that a webhook and a command get.
type Alert struct {
	ID       string     `json:"id"`    // of the message and its event, as m-20261125-0001/raised; the same at each try
	Event    string     `json:"event"` // one of those below
	Kind     string     `json:"kind"`  // of the message; of a test empty
	Cause    string     `json:"cause,omitempty"`
	Text     string     `json:"text"`
	Time     time.Time  `json:"time"`               // when it came up
	Resolved *time.Time `json:"resolved,omitempty"` // when it was over
	Instance Instance   `json:"instance"`
}

// The events that an alert is about.
const (
	EventRaised    = "raised"    // it came up; also what was over at once, which has Resolved
	EventRecovered = "recovered" // it is over
	EventTest      = "test"      // somebody tries the channel
)

// A Channel is a way by which alerts leave the machine. Just one of SMTP, Webhook and Command is there.
type Channel struct {
	Name    string    `json:"name"`
	Kinds   []string  `json:"kinds,omitempty"` // of messages it gets; none: all
	SMTP    *SMTP     `json:"smtp,omitempty"`
	Webhook *Webhook  `json:"webhook,omitempty"`
	Command []string  `json:"command,omitempty"` // absolute path of a program, and its arguments
	Added   time.Time `json:"added"`             // what came up before is not told

	Waiting  int       `json:"waiting"`          // alerts that were not delivered yet
	Sent     time.Time `json:"sent,omitzero"`    // when one was delivered last
	Failures int       `json:"failures"`         // tries since that failed
	Failing  time.Time `json:"failing,omitzero"` // when the first of these was
	Error    string    `json:"error,omitempty"`  // why the last one did; without failures: who was refused while others were served
	Next     time.Time `json:"next,omitzero"`    // of the next try
}

// SMTP says how a mail is sent.
type SMTP struct {
	Server   string   `json:"server"`             // host:port
	Security string   `json:"security"`           // one of those below
	Username string   `json:"username,omitempty"` // with a password, which no answer has
	From     string   `json:"from"`
	To       []string `json:"to"`
	CA       string   `json:"ca,omitempty"` // PEM certificates to trust; none: the system's
}

// How a connection to a mail server is secured.
const (
	SecurityTLS      = "tls"      // from the begin
	SecurityStartTLS = "starttls" // before anything is said; a server that does not offer it gets nothing
	SecurityNone     = "none"     // for a server on this machine
)

// Webhook says where alerts are posted. A key, which no answer but that of AddChannel has, signs them.
type Webhook struct {
	URL string `json:"url"`
	CA  string `json:"ca,omitempty"` // PEM certificates to trust; none: the system's
}

// A ChannelAddRequest asks for a channel.
type ChannelAddRequest struct {
	Channel Channel `json:"channel"`          // without what it says of deliveries
	Secret  string  `json:"secret,omitempty"` // password of SMTP, or key of a webhook; a webhook without gets one
}

// An AddedChannel answers a ChannelAddRequest.
type AddedChannel struct {
	Channel
	Key string `json:"key,omitempty"` // that was made to sign with; nothing shows it again
}

// A ChannelRequest names channels: one, or all if it is empty.
type ChannelRequest struct {
	Name string `json:"name,omitempty"`
}

// A ChannelList lists channels by name.
type ChannelList struct {
	Channels []Channel `json:"channels"`
}

// A ChannelTest tells what became of a test alert.
type ChannelTest struct {
	Channel string `json:"channel"`
	Error   string `json:"error,omitempty"` // none: it was delivered
}

// A ChannelTestList answers a test.
type ChannelTestList struct {
	Tests []ChannelTest `json:"tests"`
}

// A Delivery is an alert that waits for a channel. The daemon keeps it; no call has it.
type Delivery struct {
	ID      string    `json:"id"` // sorts as they came
	Channel string    `json:"channel"`
	Queued  time.Time `json:"queued"`
	Alert   Alert     `json:"alert"`
}
