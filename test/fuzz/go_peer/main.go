// Go's net/http as a judge of whole messages: see node_peer.mjs for what comes in and goes out.
package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

func main() {
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := bufio.NewWriterSize(os.Stdout, 1<<20)
	prefix := make([]byte, 5)
	for {
		if in.Buffered() == 0 {
			out.Flush()
		}
		if _, err := io.ReadFull(in, prefix); err != nil {
			return
		}
		message := make([]byte, binary.LittleEndian.Uint32(prefix[1:]))
		if _, err := io.ReadFull(in, message); err != nil {
			return
		}
		fmt.Fprintln(out, strings.ReplaceAll(judge(prefix[0], message), "\n", " "))
	}
}

func judge(kind byte, message []byte) string {
	source := bytes.NewReader(message)
	reader := bufio.NewReaderSize(source, len(message)+4096)
	var first, host string
	var body io.ReadCloser
	if kind == 0 {
		request, err := http.ReadRequest(reader)
		if err != nil {
			return "no " + err.Error()
		}
		first, host, body = request.Method+" "+request.RequestURI, request.Host, request.Body
	} else {
		method := "GET"
		if kind == 2 {
			method = "HEAD"
		}
		response, err := http.ReadResponse(reader, &http.Request{Method: method})
		if err != nil {
			return "no " + err.Error()
		}
		first, body = fmt.Sprintf("%d -", response.StatusCode), response.Body
	}
	count, err := io.Copy(io.Discard, body)
	if err != nil {
		return "no body: " + err.Error()
	}
	if left := reader.Buffered() + source.Len(); left > 0 {
		return fmt.Sprintf("no it left %d of %d bytes", left, len(message))
	}
	if host == "" {
		host = "-"
	}
	return fmt.Sprintf("ok %s %s %d", first, host, count)
}
