// Prints what the module k8s.io/cri-api says of the container runtime interface: every call, message, field and value,
// a line each. scripts/cri-descriptor.mjs keeps it as upstream.txt.
package main

import (
	"fmt"
	"runtime/debug"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const module = "k8s.io/cri-api"

func main() {
	info, _ := debug.ReadBuildInfo()
	for _, dep := range info.Deps {
		if dep.Path == module {
			fmt.Println("module", dep.Path, dep.Version, dep.Sum)
		}
	}
	file := (&cri.VersionRequest{}).ProtoReflect().Descriptor().ParentFile()
	for i := range file.Services().Len() {
		service := file.Services().Get(i)
		for j := range service.Methods().Len() {
			method := service.Methods().Get(j)
			in, out := nameOf(method.Input()), nameOf(method.Output())
			if method.IsStreamingClient() {
				in = "stream:" + in
			}
			if method.IsStreamingServer() {
				out = "stream:" + out
			}
			fmt.Println("rpc", string(service.Name())+"."+string(method.Name()), in, out)
		}
	}
	messages(file.Messages())
	enums(file.Enums())
}

func messages(all protoreflect.MessageDescriptors) {
	for i := range all.Len() {
		message := all.Get(i)
		if message.IsMapEntry() {
			continue
		}
		fmt.Println("message", nameOf(message))
		for j := range message.Fields().Len() {
			field := message.Fields().Get(j)
			fmt.Println("field", nameOf(message)+"."+string(field.Name()), int(field.Number()), kind(field))
		}
		messages(message.Messages())
		enums(message.Enums())
	}
}

func kind(field protoreflect.FieldDescriptor) string {
	if field.IsMap() {
		return "map:" + scalar(field.MapKey()) + ":" + scalar(field.MapValue())
	}
	text := scalar(field)
	if field.IsList() {
		text = "repeated:" + text
	}
	if oneof := field.ContainingOneof(); oneof != nil {
		text += " oneof:" + string(oneof.Name())
	}
	return text
}

func scalar(field protoreflect.FieldDescriptor) string {
	switch field.Kind() {
	case protoreflect.MessageKind:
		return nameOf(field.Message())
	case protoreflect.EnumKind:
		return nameOf(field.Enum())
	default:
		return field.Kind().String()
	}
}

func enums(all protoreflect.EnumDescriptors) {
	for i := range all.Len() {
		enum := all.Get(i)
		fmt.Println("enum", nameOf(enum))
		for j := range enum.Values().Len() {
			value := enum.Values().Get(j)
			fmt.Println("value", nameOf(enum)+"."+string(value.Name()), int(value.Number()))
		}
	}
}

// With what it is nested in, without the package.
func nameOf(it protoreflect.Descriptor) string {
	return strings.TrimPrefix(string(it.FullName()), string(it.ParentFile().Package())+".")
}
